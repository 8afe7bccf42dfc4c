"""Finds a pooler that changes the connection between transactions: PgBouncer in transaction or statement mode.

Postlude prepares its statements and makes settings for each session; both need a session that stays where it is.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import LedgerUnavailable, StartRefused
from service.ledger.database import Database
from service.ledger.outages import POOLED, is_pooled

_BACKEND = text("SELECT pg_backend_pid()")


async def refuse_changing_sessions(database: Database) -> None:
    """Raise `StartRefused` if sessions do not stay on their connections. Raises `LedgerUnavailable`."""
    if database.dialect == "sqlite":
        return
    try:
        async with database.connect() as one, database.connect() as other:
            before = await _backend(one)
            await one.rollback()
            # A pooler now gives the free connection to the next client.
            if await _backend(other) == before or await _backend(one) != before:
                raise StartRefused(f"{POOLED}.")
    except LedgerUnavailable as error:
        if is_pooled(error.__cause__):
            raise StartRefused(f"{POOLED}.") from error
        raise


async def _backend(connection: AsyncConnection) -> int:
    return int((await connection.execute(_BACKEND)).scalar_one())
