"""SQLite's writes, each transaction whole in a thread of its own: one hop there and one back.

aiosqlite takes a hop for every call of the driver, some thirty for a group's transaction, and at each of them the loop
and the thread wait for Python's lock.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from service.ledger.outages import translate_db_errors

T = TypeVar("T")


class SqliteWriter:
    """Writes over `engine`, one transaction after the other."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")

    async def transact(self, write: Callable[[Connection], T], outage: translate_db_errors) -> T:
        """Run `write` in a transaction, committed at the end; one that is not waited for any more is committed too."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, write, outage)

    async def close(self) -> None:
        """Close the connection, after the transactions that wait."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.engine.dispose)
        self._thread.shutdown(wait=False)

    def _transact(self, write: Callable[[Connection], T], outage: translate_db_errors) -> T:
        with self.engine.connect() as connection, connection.begin() as transaction:
            written = write(connection)
            outage.committing = True
            transaction.commit()
        return written
