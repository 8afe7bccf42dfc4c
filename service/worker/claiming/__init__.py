"""Taking due ids off the queue, and starting their jobs in the ledger."""
