"""The page of all jobs: which there are, what states they are in, and actions on many at once."""
