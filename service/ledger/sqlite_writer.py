"""SQLite's groups of writes, each taken from BEGIN to COMMIT in one go, on a thread of its own.

Through aiosqlite a group takes a trip to its thread and back for every call, a dozen in all. Each costs as much as the
writing of several jobs, and beside a busy event loop each waits up to 5 ms for Python's lock.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from service.errors import FateUnknown
from service.ledger.engines import sqlite_sync_engine
from service.ledger.group_commit import Operation
from service.ledger.outages import outages_named

T = TypeVar("T")


class SqliteWriter:
    """Runs operations for `GroupCommit`, as `Database.transact` does."""

    def __init__(self, url: str, *, limit_s: float) -> None:
        self.engine = sqlite_sync_engine(url)
        self._limit_s = limit_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")

    async def transact(self, operations: Sequence[tuple[Operation[Any, Any], Sequence[Any]]]) -> list[Sequence[Any]]:
        """Run operations in one transaction. Raises `LedgerUnavailable`; what outlives its limit goes on, unheard."""
        transacting = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, operations)
        try:
            async with asyncio.timeout(self._limit_s):
                return await transacting
        except TimeoutError as error:
            raise FateUnknown(f"SQLite did not confirm the write within {self._limit_s:g} s") from error

    async def close(self) -> None:
        """Close the connection, after what is being written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.engine.dispose)
        self._thread.shutdown(wait=False)

    def _transact(self, operations: Sequence[tuple[Operation[Any, Any], Sequence[Any]]]) -> list[Sequence[Any]]:
        with outages_named() as outage, self.engine.connect() as connection:
            transaction = connection.begin()
            awaited = cast(AsyncConnection, _Awaited(connection))
            results = [_run(operation(awaited, rows)) for operation, rows in operations]
            outage.committing = True
            transaction.commit()
            return results


class _Awaited:
    """A connection whose calls can be awaited, and have then been made already."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.dialect = connection.dialect

    async def execute(self, *args: Any) -> Any:
        return self._connection.execute(*args)


def _run(operation: Awaitable[T]) -> T:
    """Run a coroutine that awaits nothing but an `_Awaited` connection: it never stops on its way."""
    try:
        next(operation.__await__())
    except StopIteration as end:
        return cast(T, end.value)
    raise RuntimeError("an operation of a group may await its connection only")
