"""aiosqlite with one hop to its thread for a statement, instead of four: open a cursor, execute, fetch, close.

In each hop, two threads wake each other and wait for Python's lock, which costs more than most reads in SQLite.
"""

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

import aiosqlite
from aiosqlite.context import contextmanager

_ROWS_AT_ONCE = 1_000


class QuickConnection(aiosqlite.Connection):
    """A connection for reads. A transaction begins in the hop of its first statement."""

    _is_to_begin = False

    @classmethod
    def to(cls, database: str, **options: Any) -> Self:
        """Prepare a connection, which is opened when it is awaited."""
        connection = cls(partial(sqlite3.connect, database, **options), iter_chunk_size=_ROWS_AT_ONCE)
        connection._thread.daemon = True  # as SQLAlchemy does: the process does not wait for reads when it ends
        return connection

    def begin_with_next(self) -> None:
        """Have the next statement begin a transaction."""
        self._is_to_begin = True

    def takes_begin(self) -> bool:
        """Return whether the calling statement has to begin the transaction."""
        begins, self._is_to_begin = self._is_to_begin, False
        return begins

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        return QuickCursor(self, self._conn.cursor())

    async def rollback(self) -> None:
        if not self.takes_begin():
            await super().rollback()


class QuickCursor(aiosqlite.Cursor):
    """A cursor that executes a statement and fetches its first rows in one hop: for most statements, all rows."""

    _conn: QuickConnection

    def __init__(self, connection: QuickConnection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._rows: list[Any] = []
        self._is_open = False

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> Self:
        self._is_open = True
        begins = self._conn.takes_begin()
        self._rows = await self._execute(  # type: ignore[no-untyped-call]
            self._execute_and_fetch, sql, parameters or (), begins
        )
        self._is_open = len(self._rows) == _ROWS_AT_ONCE
        return self

    def _execute_and_fetch(self, sql: str, parameters: Any, begins: bool) -> list[Any]:
        if begins:
            self._cursor.execute("BEGIN")
        self._cursor.execute(sql, parameters)
        return self._cursor.fetchmany(_ROWS_AT_ONCE)

    async def fetchone(self) -> Any:
        rows = await self.fetchmany(1)
        return rows[0] if rows else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Fetch up to `size` rows; fewer at the end of the first rows."""
        if not self._rows and self._is_open:
            return list(await super().fetchmany(size))
        count = self.arraysize if size is None else size
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken

    async def fetchall(self) -> list[Any]:
        taken, self._rows = self._rows, []
        return [*taken, *await super().fetchall()] if self._is_open else taken

    async def close(self) -> None:
        """Close the statement, unless its last row has been fetched, which closed it."""
        if self._is_open:
            await super().close()
