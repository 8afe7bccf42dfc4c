"""No read, write or purge of counts walks through all of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.stats.counters import Count
from service.ledger.database import Database
from service.ledger.records.purged import record_rows_purged
from service.stats.buckets import QUARTER, Size, start_of
from service.stats.reads import Wanted, counted_events, counts_by_time, sketches_by_time, top_subjects
from service.stats.records import CountsOfJob, record_counted
from service.stats.tables import counted_ids, counters, metadata, minute_counts, quarter_counts, quarter_sketches
from tests.support.plans import Call, plans_of, sent_by
from tests.support.writing import writing

_HOUR = timedelta(hours=1)


async def fill_counts(database: Database, now: datetime) -> None:
    """Make 2 events of 50 subjects, in each quarter of two days."""
    names = [{"subject": f"s{n}", "event": event} for n in range(50) for event in ("view", "buy")]
    times = [start_of(now, QUARTER) - n * QUARTER for n in range(2 * 96)]
    buckets = [{**one, "bucket_at": at} for one in names for at in times]
    async with writing(database) as connection:
        await connection.execute(insert(counters), [{**one, "count": 1} for one in names])
        for table in (minute_counts, quarter_counts):
            await connection.execute(insert(table), [{**one, "count": 1} for one in buckets])
        await connection.execute(insert(quarter_sketches), [{**one, "sketch": b"x"} for one in buckets])
        ids = [{**names[0], "id": str(n), "counted_at": now - n * QUARTER} for n in range(5_000)]
        await connection.execute(insert(counted_ids), ids)
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


async def _count(connection: AsyncConnection, now: datetime) -> object:
    future = now + timedelta(days=900)
    counts = [Count(f"s{n}", "view", 1, future, id=f"new {n}", unique="u") for n in range(100)]
    return await connection.run_sync(record_counted, [CountsOfJob(f"j{n}", [one]) for n, one in enumerate(counts)])


async def _purge(connection: AsyncConnection, now: datetime) -> object:
    before = now - 47 * _HOUR
    for table in (minute_counts, quarter_counts, quarter_sketches):
        for event in await counted_events(connection, table):
            expired = (table.c.event == event) & (table.c.bucket_at < before)
            await connection.run_sync(record_rows_purged, table, expired)
    return await connection.run_sync(record_rows_purged, counted_ids, counted_ids.c.counted_at < now - 1200 * _HOUR)


async def _sketches(connection: AsyncConnection, now: datetime) -> object:
    return [some async for some in sketches_by_time(connection, Wanted("s1", "view", now - _HOUR, now))]


CALLS: Mapping[str, Call] = {
    "count (100)": _count,
    "purge": _purge,
    "minutes of one": lambda c, now: counts_by_time(c, Size.MINUTE, Wanted("s1", "view", now - _HOUR, now)),
    "quarters of one": lambda c, now: counts_by_time(c, Size.DAY, Wanted("s1", "view", now - _HOUR, now)),
    "quarters of a subject": lambda c, now: counts_by_time(c, Size.DAY, Wanted("s1", None, now - _HOUR, now)),
    "quarters of an event": lambda c, now: counts_by_time(c, Size.DAY, Wanted(None, "view", now - _HOUR, now)),
    "the top of an event": lambda c, now: top_subjects(c, Wanted(None, "view", now - _HOUR, now), 10),
    "sketches": _sketches,
}


def walks_through_counts(plan: str) -> list[str]:
    lines = [line.strip() for line in plan.splitlines()]
    walks = [f"{sort} {table}" for table in metadata.tables for sort in ("Seq Scan on", "SCAN")]
    return [line for line in lines if any(f"{walk} " in f"{line} " for walk in walks)]


async def test_no_statement_about_counts_walks_through_them(database_url: str) -> None:
    database = Database.open(database_url)
    await fill_counts(database, datetime.now(UTC))
    bad = []
    for name, call in CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if walks_through_counts(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)
