"""How many connections to Postgres a process holds: what it uses, and after a while no more than that."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from service.ledger import shrinking_pool
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from tests.support.running import eventually

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
_COUNT = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'postlude'"
)


async def held(database: Database) -> int:
    """Count the connections of this process, the one that asks among them."""
    async with database.connect() as connection:
        count: int = (await connection.execute(_COUNT)).scalar_one()
        return count


async def use_at_once(ledger: Ledger, number: int) -> None:
    async def use() -> None:
        async with ledger.read() as connection:
            await connection.execute(text("SELECT pg_sleep(0.3)"))

    await asyncio.gather(*(use() for _ in range(number)))


@on_postgres
async def test_a_process_that_was_busy_and_idles_holds_two_connections_at_most(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrinking_pool.keep_shrinking, "__defaults__", (0.2,))
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        await use_at_once(ledger, 20)
        assert await held(ledger.database) >= 3

        async def few() -> bool:
            return await held(ledger.database) <= 2

        await eventually(few)
        await use_at_once(ledger, 20)  # and is as good as new


@on_postgres
async def test_connections_in_use_are_not_taken_away(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking_pool.keep_shrinking, "__defaults__", (0.05,))
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        for _ in range(5):
            await use_at_once(ledger, 12)


@on_postgres
async def test_a_hundred_readers_queue_for_twenty_connections(database_url: str) -> None:
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        await use_at_once(ledger, 100)
        assert await held(ledger.database) <= 20


@on_postgres
async def test_connections_that_are_taken_while_one_is_closed_end_no_tidying(database_url: str) -> None:
    closing = asyncio.Event()

    def close_slowly(*_about: object) -> None:
        if not closing.is_set():
            closing.set()
            await_only(asyncio.sleep(0.3))

    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        engine = ledger.database._reader
        await use_at_once(ledger, 10)
        event.listen(engine.sync_engine, "close", close_slowly)
        shrinking = asyncio.create_task(shrink_twice(engine))
        await asyncio.wait_for(closing.wait(), 10)
        await use_at_once(ledger, 8)
        await shrinking


async def shrink_twice(engine: AsyncEngine) -> None:
    """What was in use since the first time is closed the second time."""
    for _ in range(2):
        await shrinking_pool._shrink(engine)
