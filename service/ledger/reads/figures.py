"""What happened in each minute, the levels at each moment, and how long things took."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import BigInteger, ColumnElement, String, Table, case, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.figure_tables import durations, event_counts
from service.figure_tables import levels as levels_table
from service.histogram import SIZE, added, quantile
from service.ledger.records.durations import ALL_KINDS, EPOCH, bucket_of
from service.ledger.rows import parameter, unfold
from service.tables import Moment, moment_text

_SEEN_WITHIN = timedelta(seconds=60)
# The leader merges after hours; if there was no leader for that long, nothing was counted either.
_MERGED_SURELY = timedelta(days=2)
_MEASURES = ("wait", "run", "total")


@dataclass(frozen=True, slots=True)
class Series:
    """How often each event happened in each step of a time span: `counts["succeeded"][0]` is for the first step.

    The last step ends at `until`, and may be shorter than the others: the series is some seconds behind.
    """

    start: datetime
    step: timedelta
    until: datetime
    counts: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class LevelSeries:
    """The highest value of each level in each step of a time span; None: nobody looked."""

    start: datetime
    step: timedelta
    values: Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long something took, in seconds; if `count` is 0, the others are None."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Ever(NamedTuple):
    """An all-time histogram, and the sum of its durations."""

    counts: Sequence[int]
    sum_s: float


async def series(
    connection: AsyncConnection,
    events: Collection[str],
    *,
    since: datetime,
    until: datetime,
    step: timedelta,
    kinds: Collection[str] | None = None,
) -> Series:
    """Count events (`enqueued`, `started`, `succeeded`, `failed`, `cancelled`, `retried`, `late` …) by time.

    `kinds` are labels, or kinds of jobs without a label; None: all. Steps are whole minutes, and quarters of an hour
    for times two days back; the first one begins at or before `since`.
    """
    start = step_start(since, step)
    counts = {event: [0] * steps_of(start, until, step) for event in events}
    for event, at, number in await growth(connection, events, since=start, until=until, kinds=kinds):
        counts[event][(at - start) // step] += number
    return Series(start, step, until, counts)


async def growth(
    connection: AsyncConnection,
    events: Collection[str],
    *,
    since: datetime,
    until: datetime,
    kinds: Collection[str] | None = None,
) -> list[tuple[str, datetime, int]]:
    """Return how many of each event there were in each minute, or quarter of an hour two days back."""
    reached = await totals_at(connection, [(kind, event) for kind in _asked(kinds) for event in events], since)
    found = select(event_counts).where(
        event_counts.c.kind.in_(_asked(kinds)),
        event_counts.c.event.in_(events),
        event_counts.c.bucket_at >= since,
        event_counts.c.bucket_at < until,
    )
    grown = []
    for kind, event, at, total in await connection.execute(found.order_by(event_counts.c.bucket_at)):
        before = reached.get((kind, event), 0)
        grown.append((event, at, max(0, total - before)))
        # A leader that had been frozen may have written an older total into a later minute.
        reached[kind, event] = max(before, total)
    return grown


async def totals_at(
    connection: AsyncConnection, wanted: Iterable[tuple[str, str]], before: datetime
) -> dict[tuple[str, str], int]:
    """Return how often each (kind, event) had happened before a minute; pairs that never happened are left out."""
    totals = await totals_by_time(connection, [(kind, event, before) for kind, event in wanted])
    return {(kind, event): total for (kind, event, _), total in totals.items()}


async def totals_by_time(
    connection: AsyncConnection, wanted: Iterable[tuple[str, str, datetime]]
) -> dict[tuple[str, str, datetime], int]:
    """Return the same, with a separate time for each pair."""
    rows = [{"kind": kind, "event": event, "before": moment_text(before)} for kind, event, before in wanted]
    found = await connection.execute(_totals_at(connection.dialect.name), parameter(rows))
    return {(kind, event, before): int(total) for kind, event, before, total in found if total is not None}


@cache
def _totals_at(dialect: str) -> Any:
    """Seek the end of each pair's range in the primary key.

    ORDER BY names the whole key: by time alone, Postgres walks back through the counts of all pairs.
    """
    its = event_counts.c
    wanted = unfold(dialect, "wanted", {"kind": String(255), "event": String(11), "before": Moment()})
    key, end = (its.kind, its.event, its.bucket_at), (wanted.c.kind, wanted.c.event, wanted.c.before)
    is_its_own = (its.kind == wanted.c.kind) & (its.event == wanted.c.event)
    last = select(case((is_its_own, its.total))).where(tuple_(*key) < tuple_(*end))
    total = last.order_by(*(column.desc() for column in key)).limit(1).scalar_subquery()
    return select(wanted.c.kind, wanted.c.event, wanted.c.before, total)


async def counted_kinds(connection: AsyncConnection) -> list[str]:
    """Return all names under which events were ever counted, except the name of all kinds together."""
    first = select(func.min(event_counts.c.kind).label("kind")).where(event_counts.c.kind > ALL_KINDS)
    kinds = first.cte("kinds", recursive=True)
    following = select(func.min(event_counts.c.kind)).where(event_counts.c.kind > kinds.c.kind).correlate(kinds)
    kinds = kinds.union_all(select(following.scalar_subquery()).where(kinds.c.kind.is_not(None)))
    return list((await connection.execute(select(kinds.c.kind).where(kinds.c.kind.is_not(None)))).scalars())


async def counts_since(
    connection: AsyncConnection, kinds: Collection[str], events: Collection[str], since: datetime
) -> Mapping[tuple[str, str], int]:
    """Count what happened from a minute until now, by (kind, event); "" is the name of all kinds together."""
    wanted = [(kind, event) for kind in kinds for event in events]
    now, then = await totals_at(connection, wanted, _FOR_EVER), await totals_at(connection, wanted, since)
    return {one: max(0, now.get(one, 0) - then.get(one, 0)) for one in wanted}


_FOR_EVER = EPOCH.replace(year=9999)


async def levels(
    connection: AsyncConnection, names: Collection[str], *, since: datetime, until: datetime, step: timedelta
) -> LevelSeries:
    """Return levels over time (their names are in `service/insight/levels.py`).

    Steps are multiples of 10 s, of a minute for times six hours back, and of ten minutes after two days.
    """
    start = step_start(since, step)
    values: dict[str, list[float | None]] = {name: [None] * steps_of(start, until, step) for name in names}
    found = select(levels_table).where(
        levels_table.c.name.in_(names), levels_table.c.at >= start, levels_table.c.at < until
    )
    for name, at, value in await connection.execute(found):
        place = (at - start) // step
        before = values[name][place]
        values[name][place] = value if before is None else max(before, value)
    return LevelSeries(start, step, values)


async def levels_now(connection: AsyncConnection, now: datetime) -> Mapping[str, float]:
    """Return all levels as of the last look; nothing if that was more than a minute ago."""
    latest = select(func.max(levels_table.c.at)).where(levels_table.c.at > now - _SEEN_WITHIN).scalar_subquery()
    found = await connection.execute(
        select(levels_table.c.name, levels_table.c.value).where(levels_table.c.at == latest)
    )
    return {row.name: row.value for row in found}


async def quantiles(
    connection: AsyncConnection, kinds: Collection[str] | None, *, since: datetime
) -> Mapping[tuple[str, str], Quantiles]:
    """Return, by (kind, measure), how long attempts waited and ran, and how long jobs took in all.

    Measures: `wait` from when an attempt was due until it ran, `run` for how long it ran, `total` from when its job
    first came due until it succeeded. `kinds` are labels, or kinds of jobs without a label; None: all together, as ("",
    measure). `since` is rounded down to five minutes, and to the quarter of an hour for times some hours back.
    """
    found = select(durations.c.kind, durations.c.measure, durations.c["counts"], durations.c.sum_s).where(
        durations.c.bucket_at >= bucket_of(since), durations.c.kind.in_(_asked(kinds))
    )
    sums: dict[tuple[str, str], tuple[list[int], float]] = {}
    for kind, measure, counts, sum_s in await connection.execute(found):
        before, before_s = sums.get((kind, measure), ([0] * SIZE, 0.0))
        sums[kind, measure] = added(before, from_json(counts)), before_s + sum_s
    wanted = ((kind, measure) for kind in _asked(kinds) for measure in _MEASURES)
    return {one: quantiles_of(*sums.get(one, ([0] * SIZE, 0.0))) for one in wanted}


async def histograms(
    connection: AsyncConnection, kind: str, measure: str, *, since: datetime, until: datetime
) -> list[tuple[datetime, Sequence[int], float]]:
    """Return the histograms of a measure (see `quantiles`), with the beginnings of their buckets, and their sums."""
    found = select(durations.c.bucket_at, durations.c["counts"], durations.c.sum_s).where(
        durations.c.bucket_at >= since,
        durations.c.bucket_at < until,
        durations.c.kind == kind,
        durations.c.measure == measure,
    )
    rows = await connection.execute(found.order_by(durations.c.bucket_at))
    return [(at, from_json(counts), sum_s) for at, counts, sum_s in rows]


async def durations_ever(connection: AsyncConnection, now: datetime) -> Mapping[tuple[str, str], Ever]:
    """Return the all-time counts by (kind, measure): merged and unmerged rows together."""
    is_unmerged = (durations.c.bucket_at > now - _MERGED_SURELY) & (durations.c.writer != "")
    found = select(durations.c.kind, durations.c.measure, durations.c["counts"], durations.c.sum_s).where(
        (durations.c.bucket_at == EPOCH) | is_unmerged, durations.c.kind != ALL_KINDS
    )
    sums: dict[tuple[str, str], Ever] = {}
    for kind, measure, counts, sum_s in await connection.execute(found):
        known = sums.get((kind, measure), Ever([0] * SIZE, 0.0))
        sums[kind, measure] = Ever(added(known.counts, from_json(counts)), known.sum_s + sum_s)
    return sums


def quantiles_of(counts: Sequence[int], sum_s: float) -> Quantiles:
    count = sum(counts)
    mean = sum_s / count if count else None
    return Quantiles(count, mean, *(quantile(counts, share) for share in (0.5, 0.95, 0.99)))


async def oldest_unmerged(
    connection: AsyncConnection, table: Table, step: timedelta, *, after: datetime, before: datetime
) -> datetime | None:
    """Return the moment of the first row that covers less than `step`, or a single process."""
    moment: ColumnElement[datetime] = table.c.at if "at" in table.c else table.c.bucket_at
    on_sqlite = connection.dialect.name == "sqlite"
    seconds = func.strftime("%s", moment) if on_sqlite else func.extract("epoch", moment)
    is_finer = cast(seconds, BigInteger) % int(step.total_seconds()) != 0
    is_unmerged = table.c.writer != "" if "writer" in table.c else is_finer
    oldest = select(func.min(moment, type_=Moment())).where(moment > after, moment < before, is_unmerged)
    found: datetime | None = (await connection.execute(oldest)).scalar_one()
    return found


def step_start(since: datetime, step: timedelta) -> datetime:
    """Return the beginning of the step that a moment is in."""
    return since - (since - EPOCH) % step


def steps_of(start: datetime, until: datetime, step: timedelta) -> int:
    return max(1, -((start - until) // step))


def _asked(kinds: Collection[str] | None) -> Collection[str]:
    return (ALL_KINDS,) if kinds is None else kinds
