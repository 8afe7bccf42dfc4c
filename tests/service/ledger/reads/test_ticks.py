"""The last ticks of many schedules at once, and what became of their jobs."""

from datetime import timedelta

from sqlalchemy import insert

from service.ledger.ledger import Ledger
from service.ledger.reads.tick_jobs import jobs_of_ticks
from service.ledger.reads.ticks import last_ticks, latest_ticks, recent_ticks
from service.ledger.states import State
from service.schedule_tables import RUN_NOW
from service.tables import ticks, workers
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.writing import writing

HOUR = timedelta(hours=1)


async def test_the_last_ticks_of_each_schedule_are_read_latest_first(ledger: Ledger) -> None:
    rows = [
        {"kind": name, "due_at": NOW + at * HOUR, "cron": "@hourly", "job_id": f"{name}-{at}"}
        for name, hours in (("often", range(-5, 3)), ("seldom", (-2,)))
        for at in hours
    ]
    async with writing(ledger.database) as connection:
        await connection.execute(insert(ticks), rows)
    async with ledger.read() as connection:
        found = await recent_ticks(connection, ["often", "seldom", "never", "other"], NOW, 3)
    told = {name: [row["job_id"] for row in rows] for name, rows in found.items()}
    assert told == {"often": ["often-0", "often--1", "often--2"], "seldom": ["seldom--2"], "never": [], "other": []}


async def test_of_each_schedule_the_last_tick_is_read_and_none_of_its_neighbours(ledger: Ledger) -> None:
    reasons = {"a": (None, None, RUN_NOW), "c": (RUN_NOW,), "e": (None, "paused", None)}
    rows = [
        {"kind": name, "due_at": NOW + at * HOUR, "cron": "@hourly", "reason": reason}
        for name, given in reasons.items()
        for at, reason in enumerate(given, -2)
    ]
    async with writing(ledger.database) as connection:
        await connection.execute(insert(ticks), rows)
    async with ledger.read() as connection:
        last = await last_ticks(connection, list("abcdef"), NOW - HOUR / 2)
        in_turn = await latest_ticks(connection, list("abcdef"), NOW)
    assert {name: row["due_at"] for name, row in last.items()} == {
        "a": NOW - HOUR,
        "c": NOW - 2 * HOUR,
        "e": NOW - HOUR,
    }
    assert in_turn == {"a": (NOW - HOUR, "@hourly"), "e": (NOW, "@hourly")}


async def test_jobs_of_ticks_are_told_with_the_machine_that_ran_them(ledger: Ledger) -> None:
    job, other = new_job(), new_job()
    await enqueue(ledger, job, other)
    await live_worker(ledger, "w1")
    assert await start(ledger, job.id, "w1")
    async with writing(ledger.database) as connection:
        await connection.execute(workers.update().values(hostname="worker-fra-3"))
    async with ledger.read() as connection:
        found = await jobs_of_ticks(connection, [job.id, other.id, "gone"])
        assert await jobs_of_ticks(connection, []) == {}
    assert found.keys() == {job.id, other.id}
    assert (found[job.id].state, found[job.id].label, found[job.id].worker) == (
        State.RUNNING,
        "greet",
        "worker-fra-3",
    )
    assert (found[other.id].state, found[other.id].worker) == (State.QUEUED, None)
