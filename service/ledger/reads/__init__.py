"""All reads of the ledger."""
