"""Targets that are tables."""
