"""The database behind the ledger, SQLite or Postgres: short transactions that end in time, and reads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, func, make_url, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from service import agreed_time
from service.errors import FateUnknown, LedgerUnavailable
from service.ledger.engines import (
    READS_ONLY,
    Doubt,
    postgres_engine,
    sqlite_engine,
    sqlite_jobs_engine,
    sqlite_thread_engine,
)
from service.ledger.group_commit import Operation
from service.ledger.outages import is_stale, may_be_repeated_at_once, translate_db_errors
from service.ledger.shrinking_pool import keep_shrinking
from service.ledger.sqlite_writer import SqliteWriter

T = TypeVar("T")

# Long enough for a full group on a slow disk; short enough that a connection which died in silence is soon given up.
STATEMENT_LIMIT_S = 10
# A large batch of jobs takes several statements, each of which says that the database is there.
_STATEMENTS_IN_A_TRANSACTION = 4
_STATEMENT_OF_A_JOB_LIMIT_S = 30
_CLOSE_WITHIN_S = 2


class Database:
    """Engines over one database: `run()` and `begin()` for writes, `connect()` for reads, `session()` for jobs.

    Jobs have connections of their own: however long they hold them, the ledger's writes and the lease go on.
    """

    def __init__(
        self,
        writer: AsyncEngine,
        reader: AsyncEngine,
        for_jobs: AsyncEngine,
        *,
        limit_s: float = STATEMENT_LIMIT_S,
        sqlite_writer: SqliteWriter | None = None,
    ) -> None:
        self._sqlite_writer = sqlite_writer
        self._writer = writer
        self._reader = reader
        self._for_jobs = for_jobs
        self._transaction_limit_s = _STATEMENTS_IN_A_TRANSACTION * limit_s
        self._doubt = Doubt()
        self.dialect = writer.dialect.name
        if self.dialect == "postgresql":
            self._doubt.watch(writer)

    @classmethod
    def open(cls, url: str, *, limit_s: float = STATEMENT_LIMIT_S) -> "Database":
        """Prepare engines for `url`; connections are made when they are needed.

        Each statement ends within `limit_s` (SQLite: each wait for its lock within 3 s), each transaction within four
        times that.
        """
        if make_url(url).get_backend_name() == "sqlite":
            writer, reader = sqlite_engine(url, writes=True), sqlite_engine(url, writes=False)
            sqlite_writer = SqliteWriter(sqlite_thread_engine(url))
            for_jobs = sqlite_jobs_engine(url, wait_s=_STATEMENT_OF_A_JOB_LIMIT_S)
            return cls(writer, reader, for_jobs, limit_s=limit_s, sqlite_writer=sqlite_writer)
        engine = postgres_engine(url, limit_s=limit_s, idle_limit_s=2 * limit_s)
        return cls(engine, engine, postgres_engine(url, limit_s=_STATEMENT_OF_A_JOB_LIMIT_S), limit_s=limit_s)

    async def keep_few_connections(self) -> None:
        """Let go, again and again, of connections that were not needed for a while. Runs until it is cancelled."""
        await keep_shrinking({self._writer, self._reader, self._for_jobs})

    async def close(self) -> None:
        """Close all connections, those that do not answer without a goodbye."""
        engines = {self._writer, self._reader, self._for_jobs}
        closing = [asyncio.create_task(engine.dispose(), name="engine-dispose") for engine in engines]
        if self._sqlite_writer is not None:
            closing.append(asyncio.create_task(self._sqlite_writer.close(), name="writer-close"))
        _, hanging = await asyncio.wait(closing, timeout=_CLOSE_WITHIN_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=bool(hanging))

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Open a write transaction, committed at the end. Raises `LedgerUnavailable`; `FateUnknown` from its commit."""
        with translate_db_errors() as outage:
            async with (
                asyncio.timeout(self._transaction_limit_s),
                self._writer.connect() as connection,
                self._heard(connection),
            ):
                transaction = await connection.begin()
                yield connection
                outage.committing = True
                await transaction.commit()

    async def run(self, write: Callable[[Connection], T]) -> T:
        """Run `write` in a transaction, committed at the end; a second time where a migration came between.

        Raises what `begin` does.
        """
        if self._sqlite_writer is None:
            try:
                return await self._run(write)
            except LedgerUnavailable as error:
                if not is_stale(error.__cause__):
                    raise
                return await self._run(write)
        try:
            async with asyncio.timeout(self._transaction_limit_s):
                with translate_db_errors() as outage:
                    return await self._sqlite_writer.transact(write, outage)
        except TimeoutError as error:  # its thread goes on
            raise FateUnknown("SQLite did not confirm the write in time") from error

    async def _run(self, write: Callable[[Connection], T]) -> T:
        async with self.begin() as connection:
            return await connection.run_sync(write)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read from. Raises `LedgerUnavailable`."""
        with translate_db_errors():
            async with self._reader.connect() as connection, self._heard(connection):
                yield await connection.execution_options(**{READS_ONLY: True})

    @asynccontextmanager
    async def _heard(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Return up a connection that did not answer in time: a rollback over it would wait as long again."""
        try:
            yield
        except (TimeoutError, asyncio.CancelledError):
            self._doubt.cast()
            await connection.invalidate()
            raise

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
            if not may_be_repeated_at_once(error.__cause__):
                raise
            try:
                return await self._transact_once(operations)
            except LedgerUnavailable as again:
                if isinstance(error, FateUnknown):  # the repetition has not settled what became of the first
                    raise error from again
                raise

    async def _transact_once(
        self, operations: Sequence[tuple[Operation[Any, Any], Sequence[Any]]]
    ) -> list[Sequence[Any]]:
        return await self.run(lambda connection: [operation(connection, rows) for operation, rows in operations])

    async def now(self, connection: AsyncConnection) -> datetime:
        """Read the database's clock, by which leases are kept."""
        if self.dialect == "sqlite":
            return agreed_time.now()  # SQLite's clock is that of the process which runs it
        now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
        return now.astimezone(UTC)

    async def check(self) -> None:
        """Raise `LedgerUnavailable` unless the tables can be read."""
        async with self.connect() as connection:
            await connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))
