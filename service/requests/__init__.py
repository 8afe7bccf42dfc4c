"""What requests say about jobs, read from JSON: for the HTTP API and for outboxes alike."""
