"""The database behind the ledger, SQLite or Postgres: short transactions that end in time, and reads."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from service.errors import FateUnknown, LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.engines import (
    READS_ONLY,
    Doubt,
    postgres_engine,
    postgres_guest_engine,
    sqlite_jobs_engine,
    sqlite_reader,
    sqlite_thread_engine,
    sqlite_thread_reader,
)
from service.ledger.group_commit import Operations
from service.ledger.outages import is_conflict, is_stale, may_be_repeated_at_once, translate_db_errors
from service.ledger.sealed import VAULT
from service.ledger.shrinking_pool import keep_shrinking
from service.ledger.sqlite_reads import SqliteReads
from service.ledger.sqlite_writer import SqliteWriter
from service.vault import OPEN_VAULT, Vault

T = TypeVar("T")

# Long enough for a full group on a slow disk; short enough that a connection that died in silence is soon given up.
STATEMENT_LIMIT_S = 10
# A large batch of jobs takes several statements, each of which says that the database is there.
_STATEMENTS_IN_A_TRANSACTION = 4
_STATEMENT_OF_A_JOB_LIMIT_S = 30
_CLOSE_WITHIN_S = 2
# Tries of a transaction that meets others in a deadlock. Each time, one of them goes on.
_MOST_TRIES = 5
_PAUSE_S = 0.05


class Database:
    """Engines over one database: `run()` for writes, `connect()` for reads, `session()` for jobs.

    Jobs have connections of their own: however long they hold them, the ledger's writes and the lease go on.
    """

    def __init__(
        self,
        writer: SqliteWriter | AsyncEngine,
        reader: AsyncEngine,
        for_jobs: AsyncEngine,
        *,
        short_reads: SqliteReads | None = None,
        reads_in_transactions: bool = True,
        limit_s: float = STATEMENT_LIMIT_S,
        vault: Vault = OPEN_VAULT,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._for_jobs = for_jobs
        self._short_reads = short_reads
        self._transaction_limit_s = _STATEMENTS_IN_A_TRANSACTION * limit_s
        self._doubt = Doubt()
        self.dialect = reader.dialect.name
        self.vault = vault
        written_by = writer.engine if isinstance(writer, SqliteWriter) else writer.sync_engine
        for engine in (written_by, reader.sync_engine, for_jobs.sync_engine):
            engine.update_execution_options(**{VAULT: vault})
        if short_reads is not None:
            short_reads.engine.update_execution_options(**{VAULT: vault})
        self._streams = self._reads = reader.execution_options(**{READS_ONLY: True})
        if not reads_in_transactions:
            self._reads = self._streams.execution_options(isolation_level="AUTOCOMMIT")
        if self.dialect == "postgresql":
            self._doubt.watch(reader)
        self._autocommitting = reader.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def open(cls, url: str, *, limit_s: float = STATEMENT_LIMIT_S, vault: Vault = OPEN_VAULT) -> "Database":
        """Prepare engines for `url`; connections are made when they are needed.

        Each statement ends within `limit_s` (on SQLite each wait for its lock within 3 s), each transaction within four
        times that. `vault` seals and opens the secrets in rows.
        """
        if make_url(url).get_backend_name() == "sqlite":
            for_jobs = sqlite_jobs_engine(url, wait_s=_STATEMENT_OF_A_JOB_LIMIT_S)
            writer = SqliteWriter(sqlite_thread_engine(url))
            short = SqliteReads(sqlite_thread_reader(url))
            return cls(writer, sqlite_reader(url), for_jobs, short_reads=short, limit_s=limit_s, vault=vault)
        engine = postgres_engine(url, limit_s=limit_s, idle_limit_s=2 * limit_s)
        for_jobs = postgres_engine(url, limit_s=_STATEMENT_OF_A_JOB_LIMIT_S)
        return cls(engine, engine, for_jobs, reads_in_transactions=False, limit_s=limit_s, vault=vault)

    @classmethod
    def open_guest(cls, url: str, *, limit_s: float) -> "Database":
        """Prepare engines for a database that is not ours: its sessions and its file are left as their owner has them.

        Each statement ends within `limit_s`, as in `open`.
        """
        if make_url(url).get_backend_name() == "sqlite":
            reader = sqlite_reader(url, is_ours=False)
            return cls(SqliteWriter(sqlite_thread_engine(url, is_ours=False)), reader, reader, limit_s=limit_s)
        engine = postgres_guest_engine(url, limit_s=limit_s)
        return cls(engine, engine, engine, limit_s=limit_s)

    async def keep_few_connections(self) -> None:
        """Keep closing connections that were not needed for a while. Runs until it is cancelled."""
        await keep_shrinking({self._reader, self._for_jobs})

    async def close(self) -> None:
        """Close all connections, without a goodbye to servers that do not answer."""
        engines = {self._reader, self._for_jobs}
        closing = [asyncio.create_task(engine.dispose(), name="engine-dispose") for engine in engines]
        if isinstance(self._writer, SqliteWriter):
            closing.append(asyncio.create_task(self._writer.close(), name="writer-close"))
        if self._short_reads is not None:
            closing.append(asyncio.create_task(self._short_reads.close(), name="reads-close"))
        _, hanging = await asyncio.wait(closing, timeout=_CLOSE_WITHIN_S)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=bool(hanging))

    async def run(self, write: Callable[[Connection], T], *, is_one_statement: bool = False) -> T:
        """Run `write` in a transaction, committed at the end; run it again if a migration or a deadlock interfered.

        With `is_one_statement`, Postgres gets it without a transaction, which saves the round trips of begin and
        commit. Raises `LedgerUnavailable`, and `FateUnknown` if the commit was not confirmed.
        """
        if isinstance(self._writer, SqliteWriter):
            return await self._run_in_thread(self._writer, write)
        for left in reversed(range(_MOST_TRIES)):
            try:
                return await (self._run_alone(write) if is_one_statement else self._run(self._writer, write))
            except LedgerUnavailable as error:
                if not left or not (is_conflict(error.__cause__) or is_stale(error.__cause__)):
                    raise
            # Repeated at once, the same transactions would meet again.
            await asyncio.sleep(random.uniform(0, _PAUSE_S * 2 ** (_MOST_TRIES - left)))  # nosec B311  # noqa: S311
        raise AssertionError("the last try returns or raises")

    async def _run_in_thread(self, writer: SqliteWriter, write: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(self._transaction_limit_s):
                with translate_db_errors() as outage:
                    return await writer.transact(write, outage)
        except TimeoutError as error:  # its thread goes on
            raise FateUnknown("SQLite did not confirm the write in time") from error

    async def _run(self, engine: AsyncEngine, write: Callable[[Connection], T]) -> T:
        with translate_db_errors() as outage:
            async with (
                asyncio.timeout(self._transaction_limit_s),
                self._connected(engine) as connection,
            ):
                transaction = await connection.begin()
                written = await connection.run_sync(write)
                outage.committing = True
                await transaction.commit()
        return written

    async def _run_alone(self, write: Callable[[Connection], T]) -> T:
        with translate_db_errors() as outage:
            async with (
                asyncio.timeout(self._transaction_limit_s),
                self._connected(self._autocommitting) as connection,
            ):
                outage.committing = True  # the commit is sent with the statement
                return await connection.run_sync(write)

    @asynccontextmanager
    async def connect(self, *, streams: bool = False) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read from. Raises `LedgerUnavailable`.

        Over our own Postgres there is no transaction, which saves the round trips of begin and commit, unless it
        `streams` rows. It would change nothing: each statement sees what was committed when the statement began. A
        pooler before a database that is not ours may need a transaction.
        """
        with translate_db_errors():
            engine = self._streams if streams else self._reads
            async with self._connected(engine) as connection:
                yield connection

    async def read(self, read: Callable[[Connection], T]) -> T:
        """Run a short `read`; a long one would hold up others. Raises `LedgerUnavailable`."""
        if self._short_reads is None:
            async with self.connect() as connection:
                return await connection.run_sync(read)
        with translate_db_errors():
            return await self._short_reads.read(read)

    @asynccontextmanager
    async def autocommitting(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to Postgres on which each statement is its own transaction, as some statements require.

        Raises `LedgerUnavailable`.
        """
        with translate_db_errors():
            async with self._connected(self._autocommitting) as connection:
                yield connection

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Open a connection. One that did not answer in time is given up: a rollback over it would wait as long again.

        SQLAlchemy closes a connection in a task of its own, which outlives a cancellation. That takes as long as a
        statement, and is needed only where the database has something to roll back.
        """
        async with AsyncExitStack() as closing:
            connection = await closing.enter_async_context(engine.connect())
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                self._doubt.cast()
                await connection.invalidate()
                raise
            if not connection.in_transaction() or self._is_autocommitting(engine):
                await connection.close()
                closing.pop_all()

    def _is_autocommitting(self, engine: AsyncEngine) -> bool:
        return engine.get_execution_options().get("isolation_level") == "AUTOCOMMIT"

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a fresh session for a job; on SQLite its transaction holds the write lock from its first statement."""
        return AsyncSession(self._for_jobs, expire_on_commit=False)

    async def run_for_job(self, write: Callable[[Connection], T]) -> T:
        """Run `write` in a job's own transaction, so that its waits hold up no write of the ledger.

        Raises what the driver and SQLAlchemy raise.
        """
        async with self._for_jobs.begin() as connection:
            return await connection.run_sync(write)

    async def transact(self, operations: Operations, *, is_one_statement: bool = False) -> list[Sequence[Any]]:
        """Run set-based operations in one transaction; see `GroupCommit`, and `run`.

        A pooled connection that died while idle fails only when it is used. Operations are safe to repeat, so they are
        repeated once.
        """
        try:
            return await self._transact_once(operations, is_one_statement)
        except LedgerUnavailable as error:
            if not may_be_repeated_at_once(error.__cause__):
                raise
            try:
                return await self._transact_once(operations, is_one_statement)
            except LedgerUnavailable as again:
                if isinstance(error, FateUnknown):  # the repetition does not tell what became of the first try
                    raise error from again
                raise

    async def _transact_once(self, operations: Operations, is_one_statement: bool) -> list[Sequence[Any]]:
        return await self.run(
            lambda connection: [operation(connection, rows) for operation, rows in operations],
            is_one_statement=is_one_statement,
        )

    async def now(self, connection: AsyncConnection) -> datetime:
        """Read the database's clock, by which leases are kept."""
        return await connection.run_sync(now_by)

    async def check(self) -> None:
        """Raise `LedgerUnavailable` unless the tables can be read."""
        async with self.connect() as connection:
            await connection.execute(text("SELECT 1 FROM jobs LIMIT 1"))
