"""The page of one job: what happened to it, why it does not run, and what can be done to it."""
