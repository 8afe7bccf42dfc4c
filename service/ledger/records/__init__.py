"""Every write to the ledger: one file for each state change, one verb and one sentence for each write.

A write is a synchronous function `record_*(connection, ...)`: guarded, and safe to repeat. It runs through
`Database.run`, in a transaction of its own, or as an `Operation` of `GroupCommit`, which joins the rows of all who
write at the same moment: it takes many rows, and returns one result for each.
"""
