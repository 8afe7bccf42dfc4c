"""SQLite's writes, each transaction entirely in one thread: one hop there and one back.

aiosqlite takes a hop for every call of the driver, some thirty for a group's transaction, and at each the loop and the
thread wait for Python's lock.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine

from service.ledger.call_thread import CallThread
from service.ledger.kept_connection import KeptConnection
from service.ledger.outages import translate_db_errors

T = TypeVar("T")


class SqliteWriter:
    """Writes over `engine`, one transaction at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection = KeptConnection(engine)
        self._thread = CallThread("sqlite-writer")

    async def transact(self, write: Callable[[Connection], T], outage: translate_db_errors) -> T:
        """Run `write` in a transaction, committed at the end even if the caller no longer waits.

        If the process ends before that, SQLite rolls it back.
        """
        return await self._thread.call(partial(self._transact, write, outage))

    async def close(self) -> None:
        """Close the connection after the waiting transactions."""
        await self._thread.call(self._connection.close)
        self._thread.end()

    def _transact(self, write: Callable[[Connection], T], outage: translate_db_errors) -> T:
        with self._connection as connection, connection.begin() as transaction:
            written = write(connection)
            outage.committing = True
            transaction.commit()
        return written
