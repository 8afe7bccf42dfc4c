"""The reads and writes of figures, on a database with 60 days of them."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.dashboard.kinds.days import read_days
from service.figure_tables import (
    durations,
    event_counts,
    failure_counts,
    failure_groups,
    lane_holds,
    lane_starts,
    levels,
)
from service.histogram import SIZE
from service.ledger.database import Database
from service.ledger.models import Failure, Finish
from service.ledger.reads import failures, figures, troubled
from service.ledger.reads.lane_figures import last_hold, starts_in_lanes
from service.ledger.reads.levels import standing
from service.ledger.records import merged
from service.ledger.records.durations import Histogram, bucket_of, record_durations
from service.ledger.records.failed import minute_of, record_failures
from service.ledger.records.lane_figures import (
    Starts,
    record_held,
    record_hold_over,
    record_lane_starts,
    record_lane_starts_purged,
)
from service.ledger.records.series import record_levels, record_totals
from service.ledger.states import Outcome, State
from tests.support.plans import Call
from tests.support.writing import writing

_HOUR, _DAY, _MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
_KINDS = [f"k{n}" for n in range(10)]
_LANES = [f"tenant:{n}" for n in range(50)]
_TABLES = ("event_counts", "failure_counts", "failure_groups", "levels", "durations", "lane_starts", "lane_holds")


async def fill_figures(database: Database, now: datetime) -> None:
    """Make 20 groups and 10 kinds: each hour for 60 days, each minute for two days."""
    hours = [minute_of(now).replace(minute=0) - n * _HOUR for n in range(60 * 24)]
    minutes = [minute_of(now) - n * _MINUTE for n in range(600)]
    async with writing(database) as connection:
        for table, rows in _rows(hours, minutes).items():
            await connection.execute(insert(table), rows)
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


def _rows(hours: list[datetime], minutes: list[datetime]) -> Mapping[Any, list[dict[str, Any]]]:
    times = [*dict.fromkeys([*hours, *minutes])]
    counts = json.dumps([1] * SIZE)
    return {
        event_counts: [
            {"kind": kind, "event": event, "bucket_at": at, "total": number}
            for number, at in enumerate(sorted(times))
            for kind in ("", *_KINDS[:2])
            for event in ("enqueued", "succeeded", "failed")
        ],
        failure_counts: [
            {"bucket_at": at, "fingerprint": f"f{n}", "writer": "w", "failures": 1, "jobs_failed": 0, "latest_at": at}
            for at in times
            for n in range(10)
        ],
        failure_groups: [
            dict.fromkeys(("kind", "error_type", "message", "writer"), "x") | {"fingerprint": f"f{n}", "first_at": at}
            for n, at in enumerate(times)
        ],
        levels: [{"name": name, "at": at, "value": 1.0} for at in times for name in ("waiting", "running", "gap")],
        durations: [
            {"bucket_at": at, "kind": kind, "measure": "run", "writer": "", "counts": counts, "sum_s": 1.0}
            for at in hours
            for kind in ("", *_KINDS[:4])
        ],
        lane_starts: [
            {"lane": f"tenant:{n}", "bucket_at": at, "writer": "w", "started": 1}
            for at in minutes[::5]
            for n in range(100)
        ],
        lane_holds: [{"key": f"tenant:{n}", "held_at": at, "over_at": at} for n, at in enumerate(hours)],
    }


async def _told(connection: AsyncConnection, now: datetime) -> object:
    one = Finish("j", "k", 1, "w", Outcome.FAILED, State.FAILED, now, failure=Failure("E", "e"), fingerprint="f1")
    await connection.run_sync(record_failures, [(one, State.FAILED)])
    await connection.run_sync(record_totals, {("", "failed"): 10**9}, minute_of(now))
    await connection.run_sync(record_levels, {"waiting": 1.0}, now)
    histogram = Histogram(bucket_of(now), "k1", "run", "w", [0] * SIZE, 1.0)
    return await connection.run_sync(record_durations, [histogram])


async def _told_of_lanes(connection: AsyncConnection, now: datetime) -> object:
    await connection.run_sync(record_lane_starts, [Starts(key, bucket_of(now), "w", 1) for key in _LANES])
    await connection.run_sync(record_held, "tenant:1", "x", now)
    await connection.run_sync(record_hold_over, ["tenant:1"], now)
    return await connection.run_sync(record_lane_starts_purged, now - 9 * _HOUR)


async def _unmerged(connection: AsyncConnection, now: datetime) -> object:
    tables = (event_counts, failure_counts, levels, durations)
    span = {"after": now - 3 * _DAY, "before": now - 2 * _DAY}
    return [await figures.oldest_unmerged(connection, table, _HOUR, **span) for table in tables]


async def _merged(connection: AsyncConnection, now: datetime) -> object:
    start = minute_of(now).replace(minute=0) - 2 * _DAY
    for merge in (merged.merge_events, merged.merge_failures, merged.merge_levels, merged.merge_durations):
        await connection.run_sync(merge, start, start + _HOUR)
    await connection.run_sync(merged.record_groups_merged, now - 59 * _DAY)
    return await connection.run_sync(merged.record_figures_purged, now - 59 * _DAY)


CALLS: Mapping[str, Call] = {
    "tell of lanes, and purge": _told_of_lanes,
    "starts in lanes (50)": lambda c, now: starts_in_lanes(c, _LANES, now - _HOUR),
    "when was a lane held?": lambda c, _: last_hold(c, "tenant:1"),
    "tell what happened": _told,
    "find what is to be merged": _unmerged,
    "merge and purge": _merged,
    "a series": lambda c, now: figures.series(
        c, ["enqueued", "succeeded", "failed"], since=now - _HOUR, until=now, step=_MINUTE
    ),
    "a series of kinds": lambda c, now: figures.series(
        c, ["failed"], since=now - 20 * _DAY, until=now, step=_DAY, kinds=_KINDS
    ),
    "counts since": lambda c, now: figures.counts_since(c, _KINDS, ["succeeded", "failed"], now - 30 * _DAY),
    "thirty days": lambda c, now: read_days(c, "", ["enqueued", "succeeded", "failed"], now),
    "the kinds counted": lambda c, _: figures.counted_kinds(c),
    "levels": lambda c, now: figures.levels(c, ["waiting", "gap"], since=now - _HOUR, until=now, step=_MINUTE),
    "levels now": figures.levels_now,
    "histograms by time": lambda c, now: figures.histograms(c, _KINDS[0], "run", since=now - _DAY, until=now),
    "quantiles": lambda c, now: figures.quantiles(c, _KINDS[:2], since=now - _DAY),
    "groups": lambda c, now: failures.groups(c, since=now - _HOUR),
    "one group": lambda c, now: failures.find_group(c, "f1", since=now - _HOUR),
    "a group that is quiet": lambda c, now: failures.find_group(c, "f1999", since=now - _HOUR),
    "their series": lambda c, now: failures.failure_series(c, ["f1", "f2"], since=now - _HOUR, until=now, step=_MINUTE),
    "how jobs stand": standing,
    "what waits": troubled.backlog,
    "what waits in a lane": lambda c, _: troubled.backlog_of(c, "tenant:1"),
    "what fails towards it": lambda c, now: troubled.failing_towards(c, "host:1", now),
    "what grows": troubled.growing_groups,
    "odd ticks": lambda c, now: troubled.odd_ticks(c, now - _HOUR, now, wanted="the schedule was paused"),
}


def reads_all_figures(plan: str) -> bool:
    """Whether a plan walks through all figures of a sort, or back in time through the figures of all kinds."""
    names = "|".join(_TABLES)
    walks = rf"Seq Scan on ({names})|^SCAN ({names})( |$)|Backward using event_counts_by_time"
    return re.search(walks, plan, re.MULTILINE) is not None
