"""Lanes as users see them: what was said of them, what they hold back, and why a job does not run."""
