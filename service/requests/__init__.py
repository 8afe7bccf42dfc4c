"""What a request says of a job, read from JSON: for the HTTP API and for outboxes alike."""
