"""Old figures are merged without changing what they add up to, however often it is done."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select

from service.figure_tables import durations, failure_counts, failure_groups, levels
from service.histogram import SIZE
from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish
from service.ledger.reads.failures import find_group
from service.ledger.reads.figures import oldest_unmerged, quantiles, series
from service.ledger.records.durations import EPOCH, Histogram, record_durations
from service.ledger.records.failed import record_failures
from service.ledger.records.merged import (
    merge_durations,
    merge_events,
    merge_failures,
    merge_levels,
    record_figures_purged,
    record_groups_merged,
)
from service.ledger.records.series import record_levels, record_totals
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOON = NOW.replace(hour=12, minute=0, second=0, microsecond=0)


async def merge_twice(ledger: Ledger, merge: Any, step: timedelta = HOUR) -> None:
    for _ in range(2):
        await ledger.database.run(partial(merge, start=NOON, end=NOON + step))


async def rows(ledger: Ledger, table: Any) -> int:
    async with ledger.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_merged_series_keep_their_sums_and_what_follows_them(ledger: Ledger) -> None:
    for minute, total in ((-1, 5), (0, 10), (20, 30), (59, 70), (60, 75)):
        at = NOON + minute * MINUTE
        await ledger.database.run(partial(record_totals, totals={("", "failed"): total}, minute=at))

    async def read(since: datetime) -> list[int]:
        async with ledger.read() as connection:
            found = await series(connection, ["failed"], since=since, until=NOON + 2 * HOUR, step=HOUR)
        return list(found.counts["failed"])

    before = await read(NOON), await read(NOON + HOUR)
    await merge_twice(ledger, merge_events)
    assert (await read(NOON), await read(NOON + HOUR)) == before == ([65, 5], [5])


async def test_merged_failures_keep_their_sums_their_first_and_their_latest(ledger: Ledger) -> None:
    for writer, minute in (("w1", 1), ("w2", 1), ("w1", 30)):
        at = NOON + minute * MINUTE
        failure = Failure("E", f"of {writer}")
        one = Finish("j", "greet", 1, writer, Outcome.FAILED, State.FAILED, at, failure=failure, fingerprint="f")
        await ledger.database.run(partial(record_failures, failed=[(one, State.FAILED)]))
    async with ledger.read() as connection:
        before = await find_group(connection, "f", since=NOON)
        merging = {"after": EPOCH, "before": NOON + HOUR}
        assert await oldest_unmerged(connection, failure_counts, HOUR, **merging) == NOON + MINUTE
    await merge_twice(ledger, merge_failures)
    for _ in range(2):
        await ledger.database.run(partial(record_groups_merged, before=NOON + HOUR))
    async with ledger.read() as connection:
        assert await find_group(connection, "f", since=NOON) == before
        assert await oldest_unmerged(connection, failure_counts, HOUR, **merging) is None
    assert before is not None
    assert (before.failures, before.jobs_failed, before.message) == (3, 3, "of w1")
    assert (await rows(ledger, failure_counts), await rows(ledger, failure_groups)) == (1, 1)


async def test_levels_keep_their_highest(ledger: Ledger) -> None:
    for seconds, value in ((0, 1.0), (30, 7.0), (50, 2.0)):
        at = NOON + timedelta(seconds=seconds)
        await ledger.database.run(partial(record_levels, values={"waiting": value}, at=at))
    async with ledger.read() as connection:
        found = await oldest_unmerged(connection, levels, MINUTE, after=EPOCH, before=NOON + MINUTE)
        assert found == NOON + timedelta(seconds=30)
    await merge_twice(ledger, merge_levels, MINUTE)
    async with ledger.read() as connection:
        assert (await connection.execute(select(levels.c.at, levels.c.value))).all() == [(NOON, 7.0)]


async def test_merged_durations_are_added_once_to_those_of_all_time(ledger: Ledger) -> None:
    for writer, minute in (("w1", 0), ("w2", 0), ("w1", 10)):
        told = Histogram(NOON + minute * MINUTE, "greet", "run", writer, [2] + [0] * (SIZE - 1), 1.5)
        await ledger.database.run(partial(record_durations, rows=[told]))
    await merge_twice(ledger, merge_durations)
    async with ledger.read() as connection:
        assert (await quantiles(connection, ["greet"], since=NOON))["greet", "run"].count == 6
        of_all = select(durations.c.bucket_at, durations.c.sum_s).order_by(durations.c.bucket_at)
        assert (await connection.execute(of_all)).all() == [(EPOCH, 4.5), (NOON, 4.5)]


async def test_what_is_too_old_goes_but_for_the_latest_of_each_total(ledger: Ledger) -> None:
    for minute, total in ((0, 10), (20, 30)):
        at = NOON + minute * MINUTE
        await ledger.database.run(partial(record_totals, totals={("", "failed"): total}, minute=at))
    one = Finish("j", "k", 1, "w", Outcome.FAILED, State.FAILED, NOON, failure=Failure("E", "e"), fingerprint="f")
    await ledger.database.run(partial(record_failures, failed=[(one, State.FAILED)]))
    later = NOON + HOUR
    assert await ledger.database.run(partial(record_figures_purged, before=later)) >= 2
    await ledger.database.run(partial(record_figures_purged, before=later))
    assert (await rows(ledger, failure_counts), await rows(ledger, failure_groups)) == (0, 0)
    async with ledger.read() as connection:
        found = await series(connection, ["failed"], since=later, until=later + HOUR, step=HOUR)
    assert found.counts["failed"] == [0]
