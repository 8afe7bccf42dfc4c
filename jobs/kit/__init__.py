"""What declares a kind: its name, its args, its retries, and the context that an attempt is given."""
