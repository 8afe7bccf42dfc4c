"""A ledger with a long history, which takes a second to fill: filled once for a process, and copied for each test."""

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.ledger.database import Database
from tests.support.plans import ago_on, fill
from tests.support.servers import PostgresServer
from tests.support.writing import writing

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def filled_sqlite(sqlite_template: Path, short_dir: Path) -> Path:
    """A SQLite database with a long history to copy from."""
    path = short_dir / "history.db"
    shutil.copy(sqlite_template, path)
    _fill_in_thread(_sqlite_url(path))
    return path


@pytest.fixture(scope="session")
def filled_postgres(postgres: PostgresServer) -> str:
    """The name of a Postgres database with a long history, analysed, to copy from."""
    _fill_in_thread(postgres.create_database("history", template="template_postlude"))
    return "history"


@pytest.fixture(params=["sqlite", "postgres"])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A copy of the long history: the test runs once for each sort of database."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("filled_sqlite"), tmp_path / "history.db")
        yield _sqlite_url(tmp_path / "history.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"history_{next(_numbers)}"
    yield server.create_database(name, template=request.getfixturevalue("filled_postgres"))
    server.drop_database(name)


@pytest.fixture
async def history(history_url: str) -> AsyncIterator[Database]:
    """A database with 20,000 jobs that have ended, 1,000 that wait, and what else `fill` makes."""
    database = Database.open(history_url)
    await _bring_to_life(database)
    yield database
    await database.close()


def _fill_in_thread(url: str) -> None:
    """Fill a database; in a thread, for the loop of the fixture that asks for it is running."""

    async def fill_and_close() -> None:
        database = Database.open(url)
        await fill(database, terminal=20_000, waiting=1_000)
        await database.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, fill_and_close()).result()


async def _bring_to_life(database: Database) -> None:
    """Let workers and their leader be as alive as in a history that was just made: what is sent depends on it."""
    beaten, led = ago_on(database.dialect, "0"), ago_on(database.dialect, "-5")
    async with writing(database) as connection:
        await connection.exec_driver_sql(f"UPDATE workers SET heartbeat_at = {beaten}")
        await connection.exec_driver_sql(
            f"UPDATE sweep_lease SET leased_until = {led}, swept_at = {ago_on(database.dialect, '1')}"
        )


def _sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"
