"""The ledger: the truth about every job.

Every write is in `records/`, every read in `reads/`; what each state becomes is decided in `states.py`. `Ledger` is
how the rest of the service writes, `Database` opens the transactions, and nothing else does.
"""
