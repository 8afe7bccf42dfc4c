"""The pages of workers: who is alive, what each runs, which version, and who lags."""
