"""Flows: the list of them, and one of them, drawn and in words."""
