"""The pages of workers: which are alive, what each runs, which version, and which lag."""
