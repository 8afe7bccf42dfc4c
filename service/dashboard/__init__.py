"""Plain pages for people with a browser: what runs, and what mail arrived."""
