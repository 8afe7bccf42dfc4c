"""Every read of the ledger: asynchronous functions over a connection of `Database.connect`, which write nothing."""
