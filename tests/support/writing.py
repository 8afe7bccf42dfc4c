"""Transactions from outside the ledger's door: tests make what the service never would, or keep its rows locked."""

from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database


def writing(database: Database) -> AbstractAsyncContextManager[AsyncConnection]:
    """Open a transaction on a connection of jobs, committed at the end."""
    return database._for_jobs.begin()
