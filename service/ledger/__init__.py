"""The ledger: the truth about every job. Writes go through `Ledger`, reads through `queries`."""
