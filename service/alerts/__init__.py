"""Alerts: whoever the settings name is told of troubles, by jobs where jobs go out, and directly where they do not."""
