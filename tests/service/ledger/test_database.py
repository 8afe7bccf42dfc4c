import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from service.errors import LedgerUnavailable
from service.ledger import engines
from service.ledger.database import Database
from service.ledger.outages import is_data_error, is_unavailable
from tests.support.servers import PostgresServer
from tests.support.writing import writing

INSERT = "INSERT INTO tallies (writer, kind, event, count, updated_at) VALUES (:writer, :kind, 'e', 1, :at)"
AT = "2026-01-01T00:00:00.000000Z"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def sqlite_file(sqlite_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "one.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
async def sqlite(sqlite_file: Path) -> AsyncIterator[Database]:
    opened = Database.open(sqlite_url(sqlite_file))
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    yield postgres.create_database("plain")
    postgres.drop_database("plain")


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


async def run(database: Database, statement: str, **values: Any) -> Any:
    return await database.run(lambda connection: connection.execute(text(statement), values))


async def error_of(database: Database, statement: str, **values: Any) -> BaseException:
    """Return what the driver said; `LedgerUnavailable` is taken off."""
    with pytest.raises(Exception) as raised:
        await run(database, statement, **values)
    cause = raised.value.__cause__
    return cause if isinstance(raised.value, LedgerUnavailable) and cause else raised.value


async def error_of_opening(url: str) -> BaseException:
    database = Database.open(url)
    try:
        with pytest.raises(LedgerUnavailable) as raised:
            await database.check()
    finally:
        await database.close()
    assert raised.value.__cause__ is not None
    return raised.value.__cause__


def assert_data_error(error: BaseException) -> None:
    assert is_data_error(error), error
    assert not is_unavailable(error), error


def assert_unavailable(error: BaseException) -> None:
    assert is_unavailable(error), error
    assert not is_data_error(error), error


async def test_sqlite_writes_ahead_and_syncs_every_commit(sqlite: Database) -> None:
    def pragmas(connection: Connection) -> list[Any]:
        asked = ("PRAGMA journal_mode", "PRAGMA synchronous")
        return [connection.exec_driver_sql(pragma).scalar_one() for pragma in asked]

    full = ["wal", 2]
    assert await sqlite.run(pragmas) == full
    async with sqlite.connect() as connection:
        assert await connection.run_sync(pragmas) == full
    async with sqlite.session() as session:
        assert await (await session.connection()).run_sync(pragmas) == full


async def test_postgres_syncs_every_commit(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    async with database.connect() as connection:
        assert (await connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"
    await database.close()


async def test_a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    def fail_half_way(connection: Connection) -> None:
        connection.execute(text("DELETE FROM alembic_version"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(fail_half_way)
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1


async def test_a_reader_sees_what_was_committed_while_somebody_writes(database: Database) -> None:
    async with writing(database) as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
        async with database.connect() as reading:
            assert (await reading.execute(text("SELECT count(*) FROM alembic_version"))).scalar_one() == 1


async def test_a_short_read_sees_what_was_committed_while_somebody_writes(database: Database) -> None:
    def count(connection: Connection) -> int:
        return int(connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one())

    async with writing(database) as connection:
        await connection.execute(text("DELETE FROM alembic_version"))
        assert await database.read(count) == 1
    assert await database.read(count) == 0


async def test_a_short_read_finds_the_file_that_took_the_place_of_another(sqlite: Database, sqlite_file: Path) -> None:
    def read(connection: Connection) -> Any:
        return connection.execute(text("SELECT 1 FROM jobs LIMIT 1")).first()

    await sqlite.read(read)
    sqlite_file.rename(sqlite_file.with_name("other.db"))
    with pytest.raises(LedgerUnavailable):
        await sqlite.read(read)
    sqlite_file.with_name("other.db").rename(sqlite_file)
    assert await sqlite.read(read) is None


async def test_the_clock_of_the_database_is_aware(database: Database) -> None:
    async with database.connect() as connection:
        assert (await database.now(connection)).utcoffset() is not None


BUSY_WRITER = f"""
import asyncio, sys
from sqlalchemy import text
from service.ledger.database import Database

async def main(url):
    database = Database.open(url)
    for n in range(100_000):
        values = {{"writer": "busy", "kind": str(n), "at": {AT!r}}}
        await database.run(lambda connection: connection.execute(text({INSERT!r}), values))
        if n == 0:
            print("writing", flush=True)

asyncio.run(main(sys.argv[1]))
"""


async def test_two_processes_that_write_one_sqlite_file_both_make_progress(sqlite: Database, sqlite_file: Path) -> None:
    argv = [sys.executable, "-c", BUSY_WRITER, sqlite_url(sqlite_file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as busy:
        try:
            assert busy.stdout is not None
            assert await asyncio.to_thread(busy.stdout.readline) == b"writing\n"
            before = await rows_of_the_busy_writer(sqlite)
            async with asyncio.timeout(20):
                for n in range(100):
                    await run(sqlite, INSERT, writer="patient", kind=str(n), at=AT)
            after = await rows_of_the_busy_writer(sqlite)
            assert busy.poll() is None
        finally:
            busy.kill()
    assert after - before >= 5


async def rows_of_the_busy_writer(database: Database) -> int:
    async with database.connect() as connection:
        count: int = (await connection.execute(text("SELECT count(*) FROM tallies WHERE writer = 'busy'"))).scalar_one()
    return count


async def test_waiting_for_sqlites_write_lock_blocks_nobody_else(sqlite: Database, sqlite_file: Path) -> None:
    other = Database.open(sqlite_url(sqlite_file))
    async with writing(sqlite):
        waiting = asyncio.create_task(run(other, INSERT, writer="w", kind="k", at=AT))
        async with sqlite.connect() as connection:
            await connection.execute(text("SELECT 1"))
        assert not waiting.done()
    await waiting
    await other.close()


async def test_a_write_lock_that_stays_taken_is_an_outage(
    sqlite: Database, sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SQLITE_WRITE_WAIT_S", 0.05)
    holder = sqlite3.connect(sqlite_file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert_unavailable(await error_of(sqlite, "SELECT 1"))
    holder.close()
    await run(sqlite, "SELECT 1")


@pytest.mark.parametrize("nullable", ["kind", "at"])
async def test_a_broken_constraint_is_a_data_error(database: Database, nullable: str) -> None:
    values: dict[str, Any] = {"id": "i", "kind": "k", "at": None} | {nullable: None}
    statement = "INSERT INTO ticks (job_id, kind, due_at) VALUES (:id, :kind, :at)"
    assert_data_error(await error_of(database, statement, **values))


async def test_a_taken_primary_key_is_a_data_error(database: Database) -> None:
    statement = "INSERT INTO alembic_version SELECT * FROM alembic_version"
    assert_data_error(await error_of(database, statement))


@pytest.mark.parametrize("streams", [False, True], ids=["reads", "streams"])
async def test_only_rows_that_are_streamed_are_read_in_a_transaction(postgres_url: str, streams: bool) -> None:
    """Its begin and its end are round trips. Within one, `now()` stands still."""
    database = Database.open(postgres_url)
    async with database.connect(streams=streams) as connection:
        moments = {(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)}
    await database.close()
    assert len(moments) == (1 if streams else 2)


async def test_a_database_that_is_not_ours_is_read_in_transactions(postgres_url: str) -> None:
    """A pooler may give each transaction another connection, and one statement takes two messages."""
    database = Database.open_guest(postgres_url, limit_s=5)
    async with database.connect() as connection:
        moments = {(await connection.execute(text("SELECT now()"))).scalar_one() for _ in range(2)}
    await database.close()
    assert len(moments) == 1


async def test_what_is_too_long_for_an_index_of_postgres_is_a_data_error(postgres_url: str) -> None:
    chance = random.Random(1)
    name = "".join(chr(chance.randrange(0x20000, 0x2A000)) for _ in range(3_000))  # cannot be compressed
    database = Database.open(postgres_url)
    try:
        await run(database, "CREATE TABLE named (name TEXT PRIMARY KEY)")
        assert_data_error(await error_of(database, "INSERT INTO named VALUES (:name)", name=name))
    finally:
        await database.close()


async def test_nul_in_a_text_of_postgres_is_a_data_error(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    assert_data_error(await error_of(database, "SELECT CAST(:text AS text)", text="a\0b"))
    assert_data_error(await error_of(database, "SELECT CAST(:text AS jsonb)", text='"a\\u0000b"'))
    await database.close()


async def test_a_lone_surrogate_is_a_data_error(database: Database) -> None:
    assert_data_error(await error_of(database, "SELECT CAST(:text AS text)", text="a\ud800b"))


async def test_a_statement_that_takes_too_long_is_an_outage(postgres_url: str) -> None:
    database = Database.open(postgres_url)

    def be_slow(connection: Connection) -> None:
        connection.execute(text("SET LOCAL statement_timeout = 20"))
        connection.execute(text("SELECT pg_sleep(10)"))

    with pytest.raises(LedgerUnavailable):
        await database.run(be_slow)
    await database.close()


async def test_a_missing_database_file_or_server_is_an_outage(tmp_path: Path) -> None:
    assert_unavailable(await error_of_opening(sqlite_url(tmp_path / "no" / "such.db")))
    assert_unavailable(await error_of_opening(f"postgresql+asyncpg://postgres@/x?host={tmp_path}"))
    assert_unavailable(await error_of_opening("postgresql+asyncpg://postgres@127.0.0.1:1/x"))


async def test_a_postgres_that_takes_no_connection_is_an_outage(postgres: PostgresServer, postgres_url: str) -> None:
    assert_unavailable(await error_of_opening(postgres.url("no_such_database")))
    url = make_url(postgres_url)
    assert_unavailable(await error_of_opening(url.set(username="no_such_role").render_as_string()))
    admin = Database.open(postgres_url)
    await run(admin, "CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    try:
        assert_unavailable(await error_of_opening(url.set(username="crowd").render_as_string()))
    finally:
        await run(admin, "DROP ROLE crowd")
        await admin.close()


@pytest.mark.parametrize("statement", ["SELECT * FROM no_such_table WHERE :text = ''", "SELECT nonsense(:text)"])
async def test_no_error_shows_the_values_of_a_statement(database: Database, statement: str) -> None:
    with pytest.raises((DBAPIError, LedgerUnavailable)) as raised:
        await run(database, statement, text="s3cret")
    assert "s3cret" not in f"{raised.value} {raised.value.__cause__!r} {raised.value.__cause__}"


async def test_a_pooled_connection_that_died_costs_nobody_a_write(postgres: PostgresServer) -> None:
    url = postgres.create_database("killed", template="template_postlude")
    database = Database.open(url)
    try:
        await asyncio.gather(*(database.transact([(pause, [1])]) for _ in range(3)))
        await kill_all(postgres, "killed")
        assert await database.transact([(pause, [1])]) == [[1]]
    finally:
        await database.close()
        postgres.drop_database("killed")


async def test_a_connection_that_dies_every_time_is_an_outage_after_the_second(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    calls = []

    def die(connection: Any, rows: Sequence[int]) -> Sequence[int]:
        calls.append(rows)
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return rows

    with pytest.raises(LedgerUnavailable):
        await database.transact([(die, [1])])
    assert len(calls) == 2
    await database.close()


async def test_jobs_queue_for_sqlite_instead_of_fighting_for_its_lock(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SQLITE_WRITE_WAIT_S", 0.1)

    async def write(number: int) -> None:
        async with sqlite.session() as session, session.begin():
            await session.execute(text(INSERT), {"writer": "job", "kind": str(number), "at": AT})
            await asyncio.sleep(0.05)  # together they take longer than anybody waits for the lock

    await asyncio.gather(*(write(number) for number in range(10)))
    async with sqlite.connect() as connection:
        written = text("SELECT count(*) FROM tallies WHERE writer = 'job'")
        assert (await connection.execute(written)).scalar_one() == 10


async def test_an_error_in_the_data_is_not_tried_twice(database: Database) -> None:
    calls = []

    def refuse(connection: Any, rows: Sequence[int]) -> Sequence[int]:
        calls.append(rows)
        connection.execute(text("INSERT INTO alembic_version SELECT * FROM alembic_version"))
        return rows

    with pytest.raises(DBAPIError):
        await database.transact([(refuse, [1])])
    assert len(calls) == 1


def pause(connection: Any, rows: Sequence[int]) -> Sequence[int]:
    connection.execute(text("SELECT pg_sleep(0.01)"))
    return rows


async def kill_all(postgres: PostgresServer, name: str) -> None:
    """End every connection to a database, as a restart or a proxy does."""
    admin = Database.open(postgres.url("postgres"))
    await run(admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name", name=name)
    await admin.close()


async def test_transactions_that_meet_in_a_deadlock_are_all_committed(postgres_url: str) -> None:
    """Each locks two rows, in either order, and waits between until the others have one, too."""
    database = Database.open(postgres_url)
    names = ("one", "other")
    await database.run(lambda c: c.execute(text("CREATE TABLE held AS VALUES ('one', 0), ('other', 0)")))
    tries = 0

    def write(connection: Connection, order: Sequence[str]) -> None:
        nonlocal tries
        tries += 1
        for name in order:
            connection.execute(text("UPDATE held SET column2 = column2 + 1 WHERE column1 = :name"), {"name": name})
            connection.execute(text("SELECT pg_sleep(0.2)"))

    orders = (names, names[::-1])
    await asyncio.gather(*(database.run(partial(write, order=order)) for order in orders))
    assert tries > 2, "no deadlock, no proof"
    counts = await database.run(lambda c: c.execute(text("SELECT column2 FROM held")).scalars().all())
    assert counts == [2, 2]
    await database.close()


async def test_a_crowd_of_transactions_that_lock_rows_in_any_order_gets_through(postgres_url: str) -> None:
    """Tried again at once, they would meet again until their tries were used up."""
    database = Database.open(postgres_url)
    rows = range(6)
    await database.run(
        lambda c: c.execute(text("CREATE TABLE crowd AS SELECT n, 0 AS times FROM generate_series(0, 5) n"))
    )
    name = await database.run(lambda c: c.execute(text("SELECT current_database()")).scalar_one())
    await database.run(lambda c: c.execute(text(f"ALTER DATABASE {name} SET deadlock_timeout = '1ms'")))
    await database.close()
    database = Database.open(postgres_url)

    def write(connection: Connection, first: int) -> None:
        for number in rows:
            row = {"n": (first * 5 + number * (1 if first % 2 else 5)) % 6}
            connection.execute(text("UPDATE crowd SET times = times + 1 WHERE n = :n"), row)

    await asyncio.gather(*(database.run(partial(write, first=first)) for first in range(5)))
    counts = await database.run(lambda c: c.execute(text("SELECT times FROM crowd")).scalars().all())
    assert set(counts) == {5}
    await database.close()
