"""Plain pages for a person with a browser: what runs, and what mail came in."""
