"""The database behind the ledger, SQLite or Postgres: durable connections, short transactions, errors told apart."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, event, func, make_url, select, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.util import await_only

from service.errors import LedgerUnavailable
from service.ledger.group_commit import Operation

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 30
_SQLITE_WRITE_WAIT_S = 5.0
_SQLITE_RETRY_S = 0.0005
# Postgres: connection lost, out of resources, operator intervention, no such login or database, read-only; and what a
# repeat may heal.
_UNAVAILABLE_SQLSTATES = ("08", "53", "57", "28", "3D", "25006", "40", "55")
_CONFLICT_SQLSTATE = "40"
_UNDEFINED_TABLE = "42P01"
_DATA_SQLSTATES = ("22", "23")
_HIDDEN = {"hide_parameters": True}  # errors are logged, and parameters hold args


class Database:
    """Engines over one database: `begin()` for writes, `connect()` for reads, `session()` for jobs.

    Jobs have connections of their own: however long they hold them, the ledger's writes and the lease go on.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, for_jobs: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._for_jobs = for_jobs
        self.dialect = writer.dialect.name

    @classmethod
    def open(cls, url: str) -> "Database":
        """Prepare engines for `url`; connections are made when they are needed."""
        if make_url(url).get_backend_name() == "sqlite":
            reader = _sqlite_engine(url, writes=False)
            return cls(_sqlite_engine(url, writes=True), reader, _sqlite_engine(url, writes=True))
        engine = _postgres_engine(url)
        return cls(engine, engine, _postgres_engine(url))

    async def close(self) -> None:
        for engine in {self._writer, self._reader, self._for_jobs}:
            await engine.dispose()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction, committed at the end. Raises `LedgerUnavailable`."""
        with _unavailable_named():
            async with self._writer.begin() as connection:
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read from. Raises `LedgerUnavailable`."""
        with _unavailable_named():
            async with self._reader.connect() as connection:
                yield connection

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a fresh session for a job; on SQLite its transaction holds the write lock from its first statement."""
        return AsyncSession(self._for_jobs, expire_on_commit=False)

    async def transact(self, operations: Sequence[tuple[Operation[Any, Any], Sequence[Any]]]) -> list[Sequence[Any]]:
        """Run set-based operations in one transaction; see `GroupCommit`.

        A pooled connection that died while idle shows only when used: operations are safe to repeat, so they are, once.
        """
        try:
            return await self._transact_once(operations)
        except LedgerUnavailable as error:
            if not _may_be_repeated_at_once(error.__cause__):
                raise
            return await self._transact_once(operations)

    async def _transact_once(
        self, operations: Sequence[tuple[Operation[Any, Any], Sequence[Any]]]
    ) -> list[Sequence[Any]]:
        async with self.begin() as connection:
            return [await operation(connection, rows) for operation, rows in operations]

    async def now(self, connection: AsyncConnection) -> datetime:
        """Read the database's clock, by which leases are kept."""
        if self.dialect == "sqlite":
            return datetime.now(UTC)  # SQLite's clock is that of the process which runs it
        now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return now.astimezone(UTC)

    async def check(self) -> None:
        """Raise `LedgerUnavailable` unless the tables can be read."""
        async with self.connect() as connection:
            await connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))


class _unavailable_named:  # noqa: N801 - reads as a statement in `with`
    """Turns the many faces of a lost database into `LedgerUnavailable`."""

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            return
        if lacks_tables(error):
            raise LedgerUnavailable("The ledger's tables are missing: run `postlude migrate`.") from error
        if is_unavailable(error):
            raise LedgerUnavailable(
                "The ledger's database does not answer. Nothing was recorded; send the request again."
            ) from error


def lacks_tables(error: BaseException) -> bool:
    """Whether `error` says that the migrations were not applied."""
    return isinstance(error, DBAPIError) and (
        _sqlstate(error) == _UNDEFINED_TABLE or "no such table" in str(error.orig)
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database is away, full or read-only, not that the data is wrong."""
    if isinstance(error, DBAPIError):
        sqlstate = _sqlstate(error)
        if sqlstate:
            return sqlstate.startswith(_UNAVAILABLE_SQLSTATES)
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return isinstance(error, OSError | TimeoutError | PoolTimeoutError)


def is_data_error(error: BaseException) -> bool:
    """Whether `error` comes from the rows of one write, so that its neighbours can be saved without it."""
    if isinstance(error, LedgerUnavailable) or is_unavailable(error):
        return False
    if isinstance(error, DBAPIError) and (sqlstate := _sqlstate(error)):
        return sqlstate.startswith(_DATA_SQLSTATES)
    return isinstance(error, DataError | IntegrityError | StatementError | ValueError | TypeError)


def _may_be_repeated_at_once(error: BaseException | None) -> bool:
    """Whether a pooled connection had died, or Postgres broke a deadlock (class 40) at our cost."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or (_sqlstate(error) or "").startswith(_CONFLICT_SQLSTATE)
    )


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _postgres_engine(url: str) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=CONNECT_TIMEOUT_S,
        **_HIDDEN,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_S,
            "server_settings": {
                "application_name": "postlude",
                "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000}",
                "synchronous_commit": "on",
                "jit": "off",
            },
        },
    )


def _sqlite_engine(url: str, *, writes: bool) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=10, max_overflow=10, pool_timeout=CONNECT_TIMEOUT_S, **_HIDDEN)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would be deferred: ours is below
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 5000")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        if writes:
            cursor.execute("PRAGMA busy_timeout = 0")
        cursor.close()

    event.listen(engine.sync_engine, "begin", _begin_immediate if writes else _begin_deferred)
    return engine


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    """Take SQLite's write lock, asking every half millisecond.

    SQLite's own busy handler backs off for so long that a second writer starves beside a busy one (19 commits in
    5 s, measured); asking often costs little, since each group holds the lock for a few milliseconds.
    """
    deadline = time.monotonic() + _SQLITE_WRITE_WAIT_S
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            await_only(asyncio.sleep(_SQLITE_RETRY_S))
