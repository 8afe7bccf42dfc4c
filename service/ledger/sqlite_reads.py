"""SQLite's short reads, each entirely in a thread: one hop there and one back, as in `SqliteWriter`.

Over an async connection, reading a row by id takes two hops, each through a greenlet, and these cost more CPU than
everything else.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, Engine

from service.ledger.call_thread import CallThread
from service.ledger.kept_connection import KeptConnection

T = TypeVar("T")


class SqliteReads:
    """Reads over `engine`, one at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._connection = KeptConnection(engine)
        self._thread = CallThread("sqlite-reads")

    async def read(self, read: Callable[[Connection], T]) -> T:
        """Run `read`, which sees one state of the database."""
        return await self._thread.call(partial(self._read, read))

    async def close(self) -> None:
        """Close the connection after the waiting reads."""
        await self._thread.call(self._connection.close)
        self._thread.end()

    def _read(self, read: Callable[[Connection], T]) -> T:
        with self._connection as connection:
            return read(connection)
