"""Engines over SQLite and Postgres: durable connections whose every call ends, and pools that forget dead ones."""

import asyncio
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
from sqlalchemy.exc import InvalidatePoolError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from service.ledger.outages import is_read_only
from service.ledger.shrinking_pool import ShrinkingPool
from service.ledger.write_turns import turns_at

CONNECT_TIMEOUT_S = 3
# An execution option: the connection is used for nothing but reads.
READS_ONLY = "postlude_reads_only"
# Below the API's deadline for an answer: who waited for the lock in vain can be told that nothing was recorded.
_SQLITE_WRITE_WAIT_S = 3.0
_SQLITE_RETRY_S = 0.0005
# Of that wait. Then SQLite is asked without a turn: its lock may be free although the turn is taken, by a job on a loop
# that another job blocks, and the heartbeat must not wait for that loop.
_WAIT_FOR_TURN = 0.5
_TURN = "postlude_turn"
# Who waits for a connection may do so for as long as callers of the API wait for an answer.
_WAIT_FOR_CONNECTION_S = 5
_POOL: Mapping[str, float] = {"pool_size": 10, "max_overflow": 10, "pool_timeout": _WAIT_FOR_CONNECTION_S}
_HIDDEN = {"hide_parameters": True}  # errors are logged, and parameters hold args


class Doubt:
    """A connection that keeps silent casts doubt on all in its pool: none made before that is handed out again.

    Else every one of them would cost somebody a statement's timeout, long after the database is back.
    """

    def __init__(self) -> None:
        self._cast_at = 0.0

    def cast(self) -> None:
        """Distrust every connection that there is now."""
        self._cast_at = time.monotonic()

    def watch(self, engine: AsyncEngine) -> None:
        """Have the pool of `engine`, over Postgres, ask before it hands a connection out."""
        event.listen(engine.sync_engine, "connect", self._note)
        event.listen(engine.sync_engine, "checkout", self._check)
        # The dialect's own way says goodbye first, and waits 2 s for an answer that a dead connection never gives.
        engine.sync_engine.dialect.do_terminate = _terminate  # type: ignore[method-assign]

    def _note(self, _connection: Any, record: Any) -> None:
        record.info["connected_at"] = time.monotonic()

    def _check(self, connection: Any, record: Any, _proxy: object) -> None:
        if record.info["connected_at"] < self._cast_at or connection.driver_connection.is_closed():
            raise InvalidatePoolError


def _terminate(dbapi_connection: Any) -> None:
    dbapi_connection.driver_connection.terminate()


def postgres_engine(url: str, *, limit_s: float, idle_limit_s: float | None = None) -> AsyncEngine:
    """Prepare an engine whose statements take `limit_s` at most.

    A client that falls silent within a transaction loses it after `idle_limit_s`, and with it its locks.
    """
    settings = {
        "statement_timeout": f"{limit_s * 1000:.0f}",
        "synchronous_commit": "on",
        "jit": "off",
        # Every statement of the ledger has an index to go by. A plan that is kept from when the table was small walked
        # through all of it when it had grown: 300 us for a start instead of 30.
        "enable_seqscan": "off",
    }
    if idle_limit_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_limit_s * 1000:.0f}"
    bare, arguments = _for_asyncpg(make_url(url))
    engine = create_async_engine(
        bare,
        poolclass=ShrinkingPool,
        **_POOL,
        pool_use_lifo=True,  # one that has just been used knows the statements
        **_HIDDEN,
        connect_args={"command_timeout": limit_s, "async_creator_fn": partial(_connect, settings), **arguments},
    )
    event.listen(engine.sync_engine, "handle_error", _leave_read_only)
    event.listen(engine.sync_engine, "do_execute", _read_stale_again)
    return engine


async def _connect(settings: Mapping[str, str], **arguments: Any) -> asyncpg.Connection:
    """Connect, then make the session's settings: poolers refuse a connection that comes with some."""
    connection = await asyncpg.connect(**arguments)
    try:
        await connection.execute(";".join(f"SET {name} = '{value}'" for name, value in settings.items()))
    except BaseException:
        connection.terminate()
        raise
    return connection


def _for_asyncpg(url: URL) -> tuple[URL, dict[str, Any]]:
    """Move libpq's parameters from the URL's query to where asyncpg reads them: a DSN of its own."""
    kept = {name: url.query[name] for name in ("host", "port", "prepared_statement_cache_size") if name in url.query}
    query = {"application_name": "postlude", **{name: value for name, value in url.query.items() if name not in kept}}
    timeout = float(str(query.pop("connect_timeout", 0))) or CONNECT_TIMEOUT_S
    if "ssl" in query:  # asyncpg's own name for it
        query["sslmode"] = query.pop("ssl")
    if isinstance(kept.get("host"), tuple):  # several: the one that is the primary now
        query.setdefault("target_session_attrs", "read-write")
    return url.set(query=kept), {"dsn": f"postgresql://?{urlencode(query)}", "timeout": timeout}


def _leave_read_only(context: ExceptionContext) -> None:
    """Close a connection that takes no writes any more, and all in its pool: a new one may lead to the new primary."""
    if is_read_only(context.original_exception):
        context.is_disconnect = True


def _read_stale_again(cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
    """Execute; a read whose statement a migration has made stale is prepared and executed once more.

    Postgres ends the transaction with the error. For one that only reads, that loses nothing; writes are repeated
    whole, by `Database.run`.
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


def sqlite_reader(url: str) -> AsyncEngine:
    """Prepare an engine whose transactions see one state of the database, and take no lock."""
    engine = create_async_engine(url, **_POOL, **_HIDDEN)
    _configure_sqlite(engine.sync_engine, writes=False)
    event.listen(engine.sync_engine, "begin", _begin_deferred)
    return engine


def sqlite_jobs_engine(url: str, *, wait_s: float) -> AsyncEngine:
    """Prepare an engine for jobs: one connection, for which they queue up to `wait_s`.

    Each of their transactions holds SQLite's one write lock from its beginning. A hundred that fought for it were done
    40 times a second.
    """
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=wait_s, **_HIDDEN)
    _configure_sqlite(engine.sync_engine, writes=True)
    _take_turns(engine.sync_engine, wait=_await_turn, pause=_pause)
    return engine


def sqlite_thread_engine(url: str) -> Engine:
    """Prepare an engine that writes with one connection from a thread; see `SqliteWriter`."""
    engine = create_engine(make_url(url).set(drivername="sqlite"), pool_size=1, max_overflow=0, **_HIDDEN)
    _configure_sqlite(engine, writes=True)
    _take_turns(engine, wait=lambda turn, within_s: turn.result(within_s), pause=time.sleep)
    return engine


def _configure_sqlite(engine: Engine, *, writes: bool) -> None:
    path = Path(engine.url.database or "")

    @event.listens_for(engine, "checkout")
    def check_file(_connection: Any, record: Any, _proxy: object) -> None:
        """Let go of a file that was deleted or replaced: what is written to it from then on nobody finds again."""
        if record.info["file"] != _identity(path):
            raise InvalidatePoolError

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        record.info["file"] = _identity(path)
        connection.isolation_level = None  # the driver's own BEGIN would be deferred: ours is below
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 3000")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        if writes:
            cursor.execute("PRAGMA busy_timeout = 0")
        cursor.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _take_turns(engine: Engine, *, wait: Callable[[Future[None], float], None], pause: Callable[[float], None]) -> None:
    """Have each transaction begin with SQLite's write lock, once its turn in this process has come.

    The turn is over when the connection is back in its pool: at the end of the transaction, however it ends. A session
    that is dropped without being closed never gives it back; then the turn ends when Python collects it.
    """
    turns = turns_at(str(Path(engine.url.database or "").resolve()))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        deadline = time.monotonic() + _SQLITE_WRITE_WAIT_S
        info = connection.connection.record_info
        assert info is not None
        if _TURN not in info:
            info[_TURN] = turn = turns.ask()
            with suppress(TimeoutError):
                wait(turn, _WAIT_FOR_TURN * _SQLITE_WRITE_WAIT_S)
        _begin_immediate(connection, deadline, pause)

    @event.listens_for(engine, "checkin")
    def end(_connection: Any, record: Any) -> None:
        if (turn := record.record_info.pop(_TURN, None)) is not None:
            turns.leave(turn)

    @event.listens_for(engine, "detach")
    def drop(_connection: Any, record: Any) -> None:
        if (turn := record.record_info.pop(_TURN, None)) is not None:
            # In a thread of its own: whoever is interrupted by the garbage collector may have the turns' lock.
            threading.Thread(target=turns.leave, args=(turn,), name="dropped-turn", daemon=True).start()


def _begin_immediate(connection: Connection, deadline: float, pause: Callable[[float], None]) -> None:
    """Take SQLite's write lock, asking every half millisecond while another process has it.

    SQLite's own busy handler backs off for so long that a second writer starves beside a busy one (19 commits in
    5 s, measured); asking often costs little, since each group holds the lock for a few milliseconds.
    """
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            return
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            pause(_SQLITE_RETRY_S)


def _await_turn(turn: Future[None], within_s: float) -> None:
    await_only(asyncio.wait_for(asyncio.wrap_future(turn), within_s))


def _pause(seconds: float) -> None:
    await_only(asyncio.sleep(seconds))
