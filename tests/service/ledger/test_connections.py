"""How many connections to Postgres a process holds: what it uses, and after a while no more than that."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from service.ledger import shrinking_pool
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.records import started
from service.ledger.traits import Trait
from tests.service.ledger.makers import engine_of, enqueue, job_row, live_worker, new_job, start
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


async def use_at_once(ledger: Ledger, number: int, for_s: float = 0.3) -> None:
    async def use() -> None:
        async with ledger.read() as connection:
            await connection.execute(text("SELECT pg_sleep(:for_s)"), {"for_s": for_s})

    await asyncio.gather(*(use() for _ in range(number)))


def trips_of(ledger: Ledger) -> list[str]:
    """Return the list of the trips to Postgres from now on, over connections that are opened from now on: verbs."""
    trips: list[str] = []
    engine = engine_of(ledger.database)

    def note(statement: str) -> None:
        trips.append(statement.split()[0].strip(";"))

    @event.listens_for(engine.pool, "connect")
    def listen(connection: Any, _record: object) -> None:
        connection.driver_connection.add_query_logger(lambda told: note(told.query))  # BEGIN, COMMIT and their like

    event.listen(engine, "before_cursor_execute", lambda _connection, _cursor, statement, *_: note(statement))
    return trips


@on_postgres
async def test_a_single_start_is_one_trip_to_the_server(database_url: str) -> None:
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        trips = trips_of(ledger)
        first, job = new_job(), new_job()
        await live_worker(ledger)
        await enqueue(ledger, first, job)
        await start(ledger, first.id)
        trips.clear()
        assert await start(ledger, job.id) is not None
        assert trips == ["WITH"]
        assert (await job_row(ledger, job.id))["state"] == "running"


@on_postgres
async def test_a_start_that_stands_is_told_although_its_parents_cannot_be_read(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DBAPIError(None, None, ConnectionResetError(), connection_invalidated=True)

    monkeypatch.setattr(started, "few_parents_of", fail)
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        await live_worker(ledger)
        await enqueue(ledger, job := new_job(traits=Trait.PARENTS.value))
        begun = await start(ledger, job.id)
        assert begun is not None
        assert begun.attempt == 1


@on_postgres
async def test_starts_beside_other_writes_share_their_transaction(database_url: str) -> None:
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        trips = trips_of(ledger)
        first, *jobs = (new_job() for _ in range(4))
        await live_worker(ledger)
        await enqueue(ledger, first, *jobs)
        await start(ledger, first.id)
        trips.clear()
        await asyncio.gather(*(start(ledger, job.id) for job in jobs))
        assert sorted(trips) == ["BEGIN", "COMMIT", "WITH", "WITH", "WITH"]


@on_postgres
async def test_a_connection_asks_the_database_for_no_types(database_url: str) -> None:
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        sent: list[str] = []

        @event.listens_for(engine_of(ledger.database).pool, "connect")
        def listen(connection: Any, _record: object) -> None:
            connection.driver_connection.add_query_logger(lambda told: sent.append(told.query))

        await live_worker(ledger)
        await enqueue(ledger, job := new_job())
        assert await start(ledger, job.id) is not None
        assert "COMMIT;" in sent
        assert not [query for query in sent if "typeinfo" in query]


@on_postgres
async def test_no_write_or_read_makes_tasks_to_give_its_connection_back(database_url: str) -> None:
    database = Database.open(database_url)

    def ask(connection: Connection) -> int:
        one: int = connection.execute(text("SELECT 1")).scalar_one()
        return one

    async def use() -> None:
        assert await database.run(ask) == 1
        assert await database.run(ask, is_one_statement=True) == 1
        assert await database.read(ask) == 1

    await use()
    made: list[str] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(make)
    try:
        await use()
    finally:
        asyncio.get_running_loop().set_task_factory(None)
        await database.close()
    assert made == []


@on_postgres
async def test_a_process_that_was_busy_and_idles_holds_two_connections_at_most(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrinking_pool.keep_shrinking, "__defaults__", (0.2,))
    async with Ledger.open(database_url, retention=timedelta(days=1)) as ledger:
        opened: list[object] = []
        event.listen(ledger.database._reader.sync_engine.pool, "connect", lambda one, _: opened.append(one))
        await use_at_once(ledger, 20)
        assert len(opened) >= 3

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
        await use_at_once(ledger, 100, for_s=0.1)
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
