"""Within a process nobody fights for SQLite's write lock."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from service.errors import LedgerUnavailable
from service.ledger import engines
from service.ledger.database import Database
from service.ledger.write_turns import WriteTurns, turns_at
from tests.support.writing import writing


def test_turns_are_given_in_the_order_of_requests() -> None:
    turns = WriteTurns()
    first, second, third = (turns.ask() for _ in range(3))
    assert [turn.done() for turn in (first, second, third)] == [True, False, False]
    turns.leave(first)
    assert [second.done(), third.done()] == [True, False]
    turns.leave(second)
    assert third.done()
    turns.leave(third)
    assert turns.ask().done()


def test_callers_that_no_longer_wait_are_skipped() -> None:
    turns = WriteTurns()
    first, gone, third = (turns.ask() for _ in range(3))
    turns.leave(gone)
    turns.leave(first)
    assert third.done()


def test_engines_over_one_file_share_its_turns_and_those_over_another_do_not() -> None:
    one = turns_at("/one.db")
    assert turns_at("/one.db") is one
    assert turns_at("/other.db") is not one


@pytest.fixture
async def database(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path.resolve() / "one.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = Database.open(f"sqlite+aiosqlite:///{path}")
    yield opened
    await opened.close()


def touch(connection: Connection) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))


async def test_a_write_waits_for_one_job_and_not_for_all_that_queue(database: Database) -> None:
    order: list[str] = []
    holds = asyncio.Event()

    async def job(name: str) -> None:
        async with database.session() as session, session.begin():
            await session.execute(text("SELECT 1"))
            order.append(name)
            await holds.wait()

    jobs = [asyncio.create_task(job(name)) for name in ("job 1", "job 2", "job 3")]
    while not order:
        await asyncio.sleep(0)
    write = asyncio.create_task(database.run(lambda _: order.append("ledger")))
    while not turns_at(database._for_jobs.sync_engine.url.database or "")._waiting:
        await asyncio.sleep(0)
    holds.set()
    await asyncio.gather(write, *jobs)
    assert order[:2] == ["job 1", "ledger"]


async def test_a_job_that_keeps_its_transaction_is_an_outage_for_the_ledger_and_no_longer_than_it_lasts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_SQLITE_WRITE_WAIT_S", 0.05)
    async with writing(database):
        with pytest.raises(LedgerUnavailable, match="locked"):
            await database.run(touch)
    await database.run(touch)


async def test_a_turn_that_a_blocked_loop_does_not_use_keeps_no_heartbeat_from_writing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def job() -> None:
        async with database.session() as session:
            await session.execute(text("SELECT 1"))

    monkeypatch.setattr(engines, "_SQLITE_WRITE_WAIT_S", 0.2)
    path = database._for_jobs.sync_engine.url.database or ""
    turns = turns_at(path)
    another = turns.ask()
    waiting = asyncio.create_task(job())
    while not turns._waiting:
        await asyncio.sleep(0)
    turns.leave(another)  # the job has its turn, and does not hear of it: this loop does not run on until the beat
    engine = engines.sqlite_thread_engine(f"sqlite+aiosqlite:///{path}")
    with engine.begin() as beat:
        touch(beat)
    engine.dispose()
    await waiting


async def test_a_session_that_is_open_without_a_transaction_keeps_nobody_waiting(database: Database) -> None:
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
        await session.commit()
        await database.run(touch)


@pytest.mark.filterwarnings("ignore:The garbage collector")
async def test_a_session_that_is_dropped_without_being_closed_gives_up_its_turn_when_it_is_collected(
    database: Database,
) -> None:
    session = await database.session().__aenter__()
    await session.execute(text("SELECT 1"))
    del session
    gc.collect()
    await database.run(touch)
    async with database.session() as another:
        await another.execute(text("SELECT 1"))


async def test_a_job_that_is_cancelled_while_it_waits_leaves_the_turn_to_others(database: Database) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    def write(_connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(ended.wait(), loop).result()

    async def job() -> Any:
        async with database.session() as session:
            return await session.execute(text("SELECT 1"))

    loop = asyncio.get_running_loop()
    holding = asyncio.create_task(database.run(write))
    await begun.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job(), 0.1)
    ended.set()
    await holding
    await job()
    await database.run(touch)
