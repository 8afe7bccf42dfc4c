"""Engines over SQLite and Postgres: durable connections on which every call ends, and pools that drop dead ones."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, make_url
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from service.ledger.outages import is_read_only
from service.ledger.shrinking_pool import ShrinkingPool
from service.ledger.sqlite_quick import QuickConnection
from service.ledger.write_turns import turns_at

CONNECT_TIMEOUT_S = 3
# An execution option: the connection is only used for reads.
READS_ONLY = "postlude_reads_only"
# Shorter than the API's deadline, so that a caller who gets no lock can be told that nothing was recorded.
_SQLITE_WRITE_WAIT_S = 3.0
_SQLITE_RETRY_S = 0.0005
# The share of that wait after which a writer asks SQLite without its turn. The lock may be free although a job on a
# blocked loop has the turn, and the heartbeat must not wait for that loop.
_WAIT_FOR_TURN = 0.5
# What connections to SQLite remember.
_LEAVE_TURN = "postlude_leave_turn"
_PATH = "postlude_path"
_FILE = "postlude_file"
# As long as callers of the API wait for an answer.
_WAIT_FOR_CONNECTION_S = 5
_POOL: Mapping[str, float] = {"pool_size": 10, "max_overflow": 10, "pool_timeout": _WAIT_FOR_CONNECTION_S}
_HIDDEN = {"hide_parameters": True}  # errors are logged, and parameters hold args


class Doubt:
    """Distrusts a whole pool once one of its connections falls silent: no connection made before is handed out again.

    Otherwise each of them would cost somebody a statement's timeout, long after the database is back.
    """

    def __init__(self) -> None:
        self._cast_at = 0.0

    def cast(self) -> None:
        """Distrust every connection made until now."""
        self._cast_at = time.monotonic()

    def watch(self, engine: AsyncEngine) -> None:
        """Check every connection that the pool of `engine`, over Postgres, hands out."""
        event.listen(engine.sync_engine, "connect", self._note)
        event.listen(engine.sync_engine, "checkout", self._check)
        # The dialect would say goodbye first, and wait 2 s for an answer that never comes over a dead connection.
        engine.sync_engine.dialect.do_terminate = _terminate  # type: ignore[method-assign]

    def _note(self, _connection: Any, record: Any) -> None:
        record.info["connected_at"] = time.monotonic()

    def _check(self, connection: Any, record: Any, _proxy: object) -> None:
        if record.info["connected_at"] < self._cast_at or connection.driver_connection.is_closed():
            raise InvalidatePoolError


def _terminate(dbapi_connection: Any) -> None:
    dbapi_connection.driver_connection.terminate()


def postgres_engine(url: str, *, limit_s: float, idle_limit_s: float | None = None) -> AsyncEngine:
    """Make an engine whose statements take at most `limit_s`.

    A client that falls silent within a transaction loses the transaction, with its locks, after `idle_limit_s`.
    """
    settings = {
        "statement_timeout": f"{limit_s * 1000:.0f}",
        "synchronous_commit": "on",
        "jit": "off",
        # Every statement of the ledger has an index to use. A plan cached while the table was small scanned the whole
        # table once it had grown: 300 us for a start instead of 30.
        "enable_seqscan": "off",
    }
    if idle_limit_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_limit_s * 1000:.0f}"
    bare, arguments = _for_asyncpg(make_url(url))
    engine = create_async_engine(
        bare,
        poolclass=ShrinkingPool,
        **_POOL,
        pool_use_lifo=True,  # the connection used last has the statements prepared
        **_HIDDEN,
        connect_args={"command_timeout": limit_s, "async_creator_fn": partial(_connect, settings), **arguments},
    )
    event.listen(engine.sync_engine, "handle_error", _leave_read_only)
    event.listen(engine.sync_engine, "do_execute", _read_stale_again)
    return engine


def postgres_guest_engine(url: str, *, limit_s: float) -> AsyncEngine:
    """Make an engine over a database that is not ours, whose statements take at most `limit_s`.

    It makes no settings for its sessions and keeps no statements in them: a pooler in between may give them to others
    after each transaction.
    """
    bare, arguments = _for_asyncpg(make_url(url))
    keeping_none = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return create_async_engine(
        bare,
        pool_size=1,
        max_overflow=2,
        pool_timeout=limit_s,
        pool_use_lifo=True,
        **_HIDDEN,
        connect_args={
            "command_timeout": limit_s,
            **keeping_none,
            "prepared_statement_name_func": lambda: "",
            **arguments,
        },
    )


async def _connect(settings: Mapping[str, str], **arguments: Any) -> asyncpg.Connection:
    """Connect, then apply the settings: poolers refuse a connection that brings them along."""
    connection = await asyncpg.connect(**arguments)
    try:
        await connection.execute(";".join(f"SET {name} = '{value}'" for name, value in settings.items()))
    except BaseException:
        connection.terminate()
        raise
    return connection


def _for_asyncpg(url: URL) -> tuple[URL, dict[str, Any]]:
    """Move libpq's parameters from the URL's query to a DSN, which is where asyncpg reads them."""
    kept = {name: url.query[name] for name in ("host", "port", "prepared_statement_cache_size") if name in url.query}
    query = {"application_name": "postlude", **{name: value for name, value in url.query.items() if name not in kept}}
    timeout = float(str(query.pop("connect_timeout", 0))) or CONNECT_TIMEOUT_S
    if "ssl" in query:  # asyncpg's own name for it
        query["sslmode"] = query.pop("ssl")
    if isinstance(kept.get("host"), tuple):  # several hosts: use the one that is the primary
        query.setdefault("target_session_attrs", "read-write")
    return url.set(query=kept), {"dsn": f"postgresql://?{urlencode(query)}", "timeout": timeout}


def _leave_read_only(context: ExceptionContext) -> None:
    """Close all connections of a pool once one takes no more writes: a new one may lead to the new primary."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True


def _read_stale_again(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute a statement; prepare and execute a read once more if a migration has made its statement stale.

    Postgres ends the transaction with the error. A transaction that only reads loses nothing by that; one that writes
    is repeated as a whole, by `Database.run`.
    """
    try:
        cursor.execute(statement, parameters)
    except AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError as error:
        if not context.execution_options.get(READS_ONLY):
            raise
        context.handle_dbapi_exception(error)  # SQLAlchemy forgets the statements of all connections
        context.root_connection.connection.rollback()
        context.pre_exec()
        cursor.execute(statement, parameters)
    return True


def sqlite_reader(url: str, *, is_ours: bool = True) -> AsyncEngine:
    """Make an engine whose transactions see one state of the database, and take no lock."""
    engine = create_async_engine(url, **_POOL, **_HIDDEN, connect_args={"async_creator_fn": QuickConnection.to})
    _configure_sqlite(engine.sync_engine, writes=False, is_ours=is_ours)
    event.listen(engine.sync_engine, "begin", _begin_with_first)
    return engine


def sqlite_thread_reader(url: str) -> Engine:
    """Make the same kind of engine, with one connection for a thread; see `SqliteReads`."""
    engine = create_engine(make_url(url).set(drivername="sqlite"), pool_size=1, max_overflow=0, **_HIDDEN)
    _configure_sqlite(engine, writes=False)
    event.listen(engine, "begin", _begin_deferred)
    return engine


def sqlite_jobs_engine(url: str, *, wait_s: float) -> AsyncEngine:
    """Make an engine for jobs: one connection, for which they queue up to `wait_s`.

    Each of their transactions holds SQLite's one write lock from its beginning. When a hundred jobs fought for the
    lock, 40 transactions a second got done.
    """
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=wait_s, **_HIDDEN)
    _configure_sqlite(engine.sync_engine, writes=True)
    _take_turns(engine.sync_engine, wait=_await_turn, pause=_pause)
    return engine


def sqlite_thread_engine(url: str, *, is_ours: bool = True) -> Engine:
    """Make an engine that writes over one connection from a thread; see `SqliteWriter`."""
    engine = create_engine(make_url(url).set(drivername="sqlite"), pool_size=1, max_overflow=0, **_HIDDEN)
    _configure_sqlite(engine, writes=True, is_ours=is_ours)
    if not is_ours:
        _let_commits_wait_for_readers(engine)
    _take_turns(engine, wait=lambda turn, within_s: turn.result(within_s), pause=time.sleep)
    return engine


def _configure_sqlite(engine: Engine, *, writes: bool, is_ours: bool = True) -> None:
    """Make the settings of each connection. A file that is not ours keeps its journal, and is not made."""
    path = Path(engine.url.database or "")

    if not is_ours:

        @event.listens_for(engine, "do_connect")
        def refuse_to_make(*_: object) -> None:
            if not path.exists():
                raise sqlite3.OperationalError("unable to open database file")

    @event.listens_for(engine, "checkout")
    def check_file(_connection: Any, record: Any, _proxy: object) -> None:
        """Let go of a file that was deleted or replaced: nobody would ever find what is written to it."""
        if record.info[_FILE] != _identity(path):
            raise InvalidatePoolError

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        record.info[_PATH], record.info[_FILE] = path, _identity(path)
        connection.isolation_level = None  # the driver's own BEGIN would be deferred; ours is below
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 3000")
        if is_ours:
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        if writes:
            cursor.execute("PRAGMA busy_timeout = 0")
        cursor.close()


def _let_commits_wait_for_readers(engine: Engine) -> None:
    """Let commits wait for the lock, as they must in a file without a write-ahead log.

    Begins still ask again and again. A commit that waits in vain leaves the transaction and its lock, which SQLAlchemy
    takes for over.
    """
    event.listen(engine, "reset", lambda connection, *_: connection.rollback())
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 0"))
    event.listen(engine, "commit", lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout = 3000"))


def has_lost_its_file(connection: Connection) -> bool:
    """Whether the file of an open connection was deleted or replaced since."""
    opened: tuple[int, int] | None = connection.info[_FILE]
    return opened != _identity(connection.info[_PATH])


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_with_first(connection: Connection) -> None:
    driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, QuickConnection)
    driver_connection.begin_with_next()


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _take_turns(engine: Engine, *, wait: Callable[[Future[None], float], None], pause: Callable[[float], None]) -> None:
    """Let each transaction wait for its turn in this process, and begin with SQLite's write lock.

    The turn ends when the connection returns to its pool: at the end of the transaction, however it ends. A connection
    that is kept ends it itself (`end_turn`). A session that is dropped without being closed never returns its
    connection; then the turn ends when Python collects the session.
    """
    turns = turns_at(str(Path(engine.url.database or "").resolve()))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        deadline = time.monotonic() + _SQLITE_WRITE_WAIT_S
        info = connection.connection.record_info
        assert info is not None
        if _LEAVE_TURN not in info:
            turn = turns.ask()
            info[_LEAVE_TURN] = partial(turns.leave, turn)
            with suppress(TimeoutError):
                wait(turn, _WAIT_FOR_TURN * _SQLITE_WRITE_WAIT_S)
        _begin_immediate(connection, deadline, pause)

    @event.listens_for(engine, "checkin")
    def end(_connection: Any, record: Any) -> None:
        _end_turn(record.record_info)

    @event.listens_for(engine, "detach")
    def drop(_connection: Any, record: Any) -> None:
        if (leave := record.record_info.pop(_LEAVE_TURN, None)) is not None:
            # In a thread of its own: the garbage collector may interrupt code that holds the turns' lock.
            threading.Thread(target=leave, name="dropped-turn", daemon=True).start()


def end_turn(connection: Connection) -> None:
    """End the turn at writing of a connection that does not return to its pool, if it has one."""
    info = connection.connection.record_info
    assert info is not None
    _end_turn(info)


def _end_turn(info: dict[str, Any]) -> None:
    leave = info.pop(_LEAVE_TURN, None)
    if leave is not None:
        leave()


def _begin_immediate(connection: Connection, deadline: float, pause: Callable[[float], None]) -> None:
    """Take SQLite's write lock, asking every half millisecond while another process has it.

    SQLite's own busy handler backs off for so long that a second writer starves beside a busy one (19 commits in 5 s,
    measured). Asking often costs little, since each group holds the lock for a few milliseconds. The driver itself is
    asked, because over SQLAlchemy a BEGIN costs many times as much; SQLAlchemy asks last and wraps the error.
    """
    while True:
        try:
            connection.connection.cursor().execute("BEGIN IMMEDIATE")
            return
        except sqlite3.Error as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                break
            pause(_SQLITE_RETRY_S)
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _await_turn(turn: Future[None], within_s: float) -> None:
    await_only(asyncio.wait_for(asyncio.wrap_future(turn), within_s))


def _pause(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))
