"""The page of one job: what happened to it, why it does not run, and what may be done to it."""
