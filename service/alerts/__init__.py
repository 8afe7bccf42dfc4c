"""Alerts: report troubles to those whom the settings name, by jobs while jobs go out, and directly when they do not."""
