"""SQLite's short reads, each whole in a thread: one hop there and one back, as for `SqliteWriter`.

Over an async connection, one row by its id takes two hops, each through a greenlet, and more CPU for them than for
everything else.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

T = TypeVar("T")


class SqliteReads:
    """Reads over `engine`, one after the other."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-reads")

    async def read(self, read: Callable[[Connection], T]) -> T:
        """Run `read`, which sees one state of the database."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, read)

    async def close(self) -> None:
        """Close the connection, after the reads that wait."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.engine.dispose)
        self._thread.shutdown(wait=False)

    def _read(self, read: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection:
            return read(connection)
