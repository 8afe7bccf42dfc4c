"""What the ledger is asked and told about schedules, on a database with a long history of ticks."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.models import NewJob
from service.ledger.reads import schedules as reads
from service.ledger.reads import ticks
from service.ledger.records.schedules import NewSchedule, Pause, record_paused, record_schedule, record_schedule_deleted
from service.ledger.records.ticked import Tick, record_ticks
from service.ledger.states import State
from service.schedule_tables import schedules
from tests.support.plans import Call
from tests.support.writing import writing

_NAMES = [f"s{n}" for n in range(200)]


async def fill_schedules(database: Database, now: datetime) -> None:
    """Make 2,000 schedules, and let `plans.fill` have made the ticks."""
    common = {"options": "{}", "args": "{}", "revision": 1, "created_at": now, "updated_at": now}
    rows = [
        {"name": f"s{n}", "kind": "k1", "cron": "* * * * *", "last_job_id": f"done-{n + 1}", **common}
        for n in range(2_000)
    ]
    async with writing(database) as connection:
        await connection.execute(schedules.insert(), rows)
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


async def _tick(connection: AsyncConnection, now: datetime) -> object:
    wanted = [
        Tick(name, "k1", now, "* * * * *", "fired", _job(name, now), revision=1, overlap="replace") for name in _NAMES
    ]
    return await connection.run_sync(record_ticks, wanted, writer="w", now=now)


def _job(name: str, now: datetime) -> NewJob:
    return NewJob(f"tick-{name}", "k1", State.QUEUED, "default", "{}", now, now, 3)


async def _say(connection: AsyncConnection, now: datetime) -> object:
    said = NewSchedule("s1", "k1", "{}", None, "{}", "@daily", "UTC", "last", "allow", 0.0, None, None)
    await connection.run_sync(record_schedule, said, now)
    await connection.run_sync(record_paused, "s2", Pause(now), is_of_code=False)
    return await connection.run_sync(record_schedule_deleted, "s3")


CALLS: Mapping[str, Call] = {
    "tick (200)": _tick,
    "change, pause and delete": _say,
    "latest ticks (200)": lambda c, now: ticks.latest_ticks(c, [*_NAMES, "k"], now),
    "last ticks (200)": lambda c, now: ticks.last_ticks(c, [*_NAMES, "k"], now),
    "recent ticks (200)": lambda c, now: ticks.recent_ticks(c, [*_NAMES, "k"], now, 12),
    "which ticks are there? (200)": lambda c, now: ticks.recorded_among(c, [(name, now) for name in _NAMES]),
    "a page of the history": lambda c, now: ticks.history(c, "k", now - timedelta(hours=1), 51),
    "a day's ticks": lambda c, now: ticks.count_ticks(c, "k", now - timedelta(days=1), now),
    "the first page of the history": lambda c, _: ticks.history(c, "k", None, 51),
    "a page of schedules": lambda c, _: reads.page(c, "s100", 51),
    "some schedules": lambda c, _: reads.rows_of(c, _NAMES),
    "a schedule": lambda c, _: reads.find(c, "s1"),
}


def reads_all_ticks(plan: str) -> bool:
    """Whether a plan walks through the ticks or the schedules, or sorts them."""
    walks = r"Seq Scan on (ticks|schedules)\b|^SCAN (ticks|schedules|earlier)\b|TEMP B-TREE"
    return re.search(walks, plan, re.M) is not None


def reads_others_ticks(name: str, plan: str) -> bool:
    """Whether a plan of a call for the last ticks of schedules may go past those of all others: some hardly tick."""
    asks_for_the_last = name.endswith("history") or name.split()[0] in ("latest", "last", "recent")
    return asks_for_the_last and "ticks_by_due_at" in plan
