"""Counts are exact after a process dies anywhere, in every table; they are in the right buckets, and ids count once."""

import asyncio
import itertools
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from signal import SIGKILL
from typing import Any

import pytest
from sqlalchemy import Table, event, func, select

from jobs.stats.counters import Count, Counted
from service import agreed_time
from service.ledger.ledger import Ledger
from service.stats import sketch
from service.stats.buckets import MINUTE, QUARTER, start_of
from service.stats.capability import LedgerCounters
from service.stats.records import CountsOfJob, record_counted
from service.stats.tables import counted_ids, counters, minute_counts, quarter_counts, quarter_sketches
from tests.support.mortal_counter import JOBS, count_all, counts_of
from tests.support.processes import environment, ran

_numbers = itertools.count()
LONG_AGO = datetime(2019, 10, 27, 0, 59, 59, tzinfo=UTC)


async def counted(ledger: Ledger, *jobs: Sequence[Count]) -> list[Counted | None]:
    """Count what new jobs count, in one group."""
    told = [CountsOfJob(f"other job {next(_numbers)}", counts) for counts in jobs]
    return await ledger.database.run(partial(record_counted, jobs=told))


async def kept(ledger: Ledger, table: Table) -> dict[tuple[Any, ...], int]:
    async with ledger.read() as connection:
        return {tuple(row[:-1]): row[-1] for row in await connection.execute(select(*table.c))}


def sums(at: datetime, step: timedelta | None) -> dict[tuple[Any, ...], int]:
    """Add up what the jobs of `mortal_counter` count, by the bucket."""
    expected: dict[tuple[Any, ...], int] = {}
    ids: set[str] = set()
    for count in (count for number in range(JOBS) for count in counts_of(number, at)):
        if count.id in ids:
            continue
        ids |= {count.id} if count.id else set()
        key = (count.subject, count.event, *([] if step is None else [start_of(count.at, step)]))
        expected[key] = expected.get(key, 0) + count.number
    return expected


@pytest.mark.short("sqlite", "-5]")
@pytest.mark.parametrize("statement", range(1, 17))
async def test_counts_are_exact_after_a_kill_after_any_statement(
    database_url: str, ledger: Ledger, statement: int
) -> None:
    at = datetime.now(UTC)
    command = (sys.executable, "-m", "tests.support.mortal_counter", str(statement), at.isoformat())
    killed = await asyncio.to_thread(ran, command, environment(DATABASE_URL=database_url))
    assert killed.returncode in (0, -SIGKILL), killed.stderr
    again = await count_all(ledger, at)
    assert again.count(None) in (0, 10, 20)
    for table, step in ((counters, None), (quarter_counts, QUARTER), (minute_counts, MINUTE)):
        assert await kept(ledger, table) == sums(at, step), table.name
    assert len(await kept(ledger, counted_ids)) == JOBS // 2
    async with ledger.read() as connection:
        found = (await connection.execute(select(quarter_sketches.c.sketch))).scalars().all()
    assert sketch.estimate(sketch.merged(map(sketch.unpacked, found))) == 7


async def test_what_is_late_or_early_goes_to_its_own_quarter_and_only_what_is_recent_to_its_minute(
    ledger: Ledger,
) -> None:
    now = agreed_time.now()
    times = [now, now - timedelta(hours=47), now - timedelta(hours=50), LONG_AGO, now + timedelta(days=400)]
    await counted(ledger, [Count("s", "e", 1, at) for at in times])
    assert await kept(ledger, counters) == {("s", "e"): 5}
    assert {key[2] for key in await kept(ledger, quarter_counts)} == {start_of(at, QUARTER) for at in times}
    recent = [times[0], times[1], times[4]]
    assert {key[2] for key in await kept(ledger, minute_counts)} == {start_of(at, MINUTE) for at in recent}


async def test_an_id_counts_once_for_each_counter_in_one_group_and_in_later_ones(ledger: Ledger) -> None:
    def count(subject: str = "s", id: str = "i") -> Count:  # noqa: A002
        return Count(subject, "e", 1, LONG_AGO, id=id)

    first = await counted(ledger, [count(), count(), count("t")], [count(), count(id="j")])
    assert [one and one.repeated for one in first] == [1, 1]
    assert [one and one.repeated for one in await counted(ledger, [count(), count("u")])] == [1]
    assert await kept(ledger, counters) == {("s", "e"): 2, ("t", "e"): 1, ("u", "e"): 1}


async def test_jobs_at_the_same_moment_share_a_transaction_and_hot_counters_their_rows(ledger: Ledger) -> None:
    sent: list[str] = []
    writer = ledger.database._writer
    engine = getattr(writer, "engine", None) or writer.sync_engine  # type: ignore[union-attr]
    event.listen(engine, "after_cursor_execute", lambda _c, _u, statement, *_: sent.append(statement))
    counting = LedgerCounters(ledger)
    counts = [Count("home", "view", 1, LONG_AGO)]
    await asyncio.gather(*(counting.count_once(f"job {number}", counts) for number in range(500)))
    assert await kept(ledger, counters) == {("home", "view"): 500}
    assert len([one for one in sent if "counted_jobs" in one]) <= 3
    async with ledger.read() as connection:
        rows = await connection.execute(select(func.count()).select_from(quarter_counts))
    assert rows.scalar_one() == 1


async def test_two_workers_that_count_the_same_things_are_exact(ledger: Ledger) -> None:
    workers = [LedgerCounters(ledger) for _ in range(2)]
    now = agreed_time.now()
    counts = [Count(f"s{number}", "e", 1, now, unique=f"u{number}") for number in range(20)]
    asked = [
        workers[number % 2].count_once(f"job {number // 2}", counts if number % 4 < 2 else counts[::-1])
        for number in range(80)
    ]
    assert len([one for one in await asyncio.gather(*asked) if one]) == 40
    assert set((await kept(ledger, counters)).values()) == {40}
