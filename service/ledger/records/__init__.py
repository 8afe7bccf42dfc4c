"""Every write to a job: one file for each state change, all guarded, set-based and safe to repeat.

Each `record_*` is an `Operation` for `GroupCommit`: it takes a connection and many rows, and gives one result a row.
"""
