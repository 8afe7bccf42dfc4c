"""A database that falls silent, goes away in the middle, or is full: what a write says, and how soon it works again."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from service.errors import FateUnknown, LedgerFull, LedgerUnavailable
from service.ledger import engines
from service.ledger.database import Database
from tests.service.ledger.makers import engine_of
from tests.support.proxy import FaultProxy, proxying
from tests.support.servers import PostgresServer

# Far beyond every limit here, far below what a driver left to itself would wait.
NEVER_S = 20
LIMIT_S = 1.0
NAME = "silent"


@pytest.fixture(scope="module")
def postgres_name(postgres: PostgresServer) -> str:
    postgres.create_database(NAME, template="template_postlude")
    return NAME


@asynccontextmanager
async def behind_a_proxy(postgres: PostgresServer, name: str) -> AsyncIterator[tuple[Database, FaultProxy]]:
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        database = Database.open(f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}", limit_s=LIMIT_S)
        try:
            yield database, proxy
        finally:
            async with asyncio.timeout(NEVER_S):
                await database.close()


def touch(connection: Any, rows: Sequence[Any]) -> Sequence[Any]:
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    return rows


def pause(connection: Any, rows: Sequence[Any]) -> Sequence[Any]:
    connection.execute(text("SELECT pg_sleep(0.1)"))
    return rows


async def test_silence_before_the_commit_is_an_outage_and_after_it_leaves_the_fate_open(
    postgres: PostgresServer, postgres_name: str
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, proxy):

        async def fall_silent_before(statements: int) -> None:
            def write(connection: Connection) -> None:
                touch(connection, [])
                proxy.black_hole = True
                for _ in range(statements):
                    touch(connection, [])

            await database.run(write)

        async with asyncio.timeout(NEVER_S):
            with pytest.raises(LedgerUnavailable) as raised:
                await fall_silent_before(1)
            assert not isinstance(raised.value, FateUnknown)
            proxy.heal()
            with pytest.raises(FateUnknown, match="may be recorded, or not"):
                await fall_silent_before(0)


_OUT_OF_MEMORY = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53200'; END $$"
_END_THIS_SESSION = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.mark.parametrize(("statement", "is_open"), [(_OUT_OF_MEMORY, False), (_END_THIS_SESSION, True)])
async def test_a_lone_statement_that_postgres_refuses_was_not_recorded_but_one_whose_session_ends_may_be(
    postgres: PostgresServer, postgres_name: str, statement: str, *, is_open: bool
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, _):
        with pytest.raises(LedgerUnavailable) as raised:
            await database.run(lambda connection: connection.execute(text(statement)), is_one_statement=True)
    assert isinstance(raised.value, FateUnknown) == is_open


async def test_one_silent_connection_casts_doubt_on_all_of_its_pool(
    postgres: PostgresServer, postgres_name: str
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, proxy), asyncio.timeout(NEVER_S):
        await asyncio.gather(*(database.transact([(pause, [1])]) for _ in range(8)))
        proxy.black_hole = True
        # All eight are used meanwhile, so that the proxy keeps them silent for good.
        silent = await asyncio.gather(*(database.transact([(touch, [1])]) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(error, LedgerUnavailable) for error in silent)
        proxy.heal()
        assert await database.transact([(touch, [1])]) == [[1]]
        await database.check()


async def test_reads_are_not_given_connections_that_the_server_has_closed(
    postgres: PostgresServer, postgres_name: str
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, proxy):
        await asyncio.gather(*(database.transact([(pause, [1])]) for _ in range(5)))
        proxy.reset()
        await asyncio.sleep(0.05)
        for _ in range(5):
            await database.check()


async def test_a_commit_of_unknown_fate_stays_so_when_its_repetition_finds_no_database(
    postgres: PostgresServer, postgres_name: str
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, proxy):
        commits = 0

        def lose(_connection: Any) -> None:
            nonlocal commits
            commits += 1
            proxy.refuse()
            proxy.reset()

        event.listen(engine_of(database), "commit", lose)
        async with asyncio.timeout(NEVER_S):
            with pytest.raises(FateUnknown):
                await database.transact([(touch, [1])])
        assert commits == 1


async def test_closing_does_not_wait_for_a_database_that_keeps_silent(
    postgres: PostgresServer, postgres_name: str
) -> None:
    async with behind_a_proxy(postgres, postgres_name) as (database, proxy):
        await asyncio.gather(*(database.transact([(pause, [1])]) for _ in range(8)))
        proxy.black_hole = True  # the fixture closes the database, within its own limit


@asynccontextmanager
async def with_pages(path: Path, pages: int) -> AsyncIterator[Database]:
    """Open a SQLite database that may grow by only this many pages, as if its disk were then full."""
    plain = sqlite3.connect(path)
    (used,) = plain.execute("PRAGMA page_count").fetchone()
    plain.close()
    database = Database.open(f"sqlite+aiosqlite:///{path}")

    def limit(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {used + pages}").close()

    event.listen(engine_of(database), "connect", limit)
    try:
        yield database
    finally:
        await database.close()


async def test_a_full_disk_is_told_apart_and_takes_writes_again_once_there_is_room(
    sqlite_template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "full.db"
    path.write_bytes(sqlite_template.read_bytes())

    def fill(connection: Any, rows: Sequence[int]) -> Sequence[int]:
        insert = text(
            "INSERT INTO job_tags (tag, created_at, job_id) VALUES (:tag, '2026-01-01T00:00:00.000000Z', 'j')"
        )
        for row in rows:
            connection.execute(insert, {"tag": f"{row}-{'x' * 5000}"})
        return rows

    async with with_pages(path, 60) as database:
        with pytest.raises(LedgerFull, match="disk"):
            await database.transact([(fill, list(range(100)))])
        await database.transact([(fill, [1])])
        await database.check()


async def test_a_lock_that_another_process_keeps_is_an_outage_of_known_fate(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SQLITE_WRITE_WAIT_S", 0.05)
    path = tmp_path / "locked.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite+aiosqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="Nothing was recorded"):
        await database.transact([(touch, [1])])
    holder.close()
    assert await database.transact([(touch, [1])]) == [[1]]
    await database.close()
