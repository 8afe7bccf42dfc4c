"""Lanes as users see them: their settings, what they hold back, and why a job does not run."""
