"""The page of all jobs: which they are, what state they are in, and what is done to many at once."""
