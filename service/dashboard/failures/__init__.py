"""Failures in groups: what fails, since when, whether it grows, and how many jobs it cost."""
