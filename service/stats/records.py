"""Writes to the counters.

Many jobs are counted in one transaction, and what they add to one counter is one row of each statement. Statements run
in one order, with rows in the order of their keys, so that workers may wait for one another but never deadlock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, Table, and_, case, literal_column, select, true

from jobs.stats.counters import Count, Counted, CounterFull
from service import agreed_time
from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.stats import sketch
from service.stats.buckets import MINUTE, QUARTER, start_of
from service.stats.tables import (
    counted_ids,
    counted_jobs,
    counters,
    minute_counts,
    quarter_counts,
    quarter_sketches,
)
from service.tables import moment_text

_NONE, _MOST = literal_column("0", Integer), literal_column(str(2**63 - 1), Integer)
# They are shown for 48 hours; a request just within that time should not find them gone.
MINUTES_KEPT = timedelta(hours=49)


@dataclass(frozen=True, slots=True)
class CountsOfJob:
    """The counts of one job."""

    job_id: str
    counts: Sequence[Count]


def record_counted(connection: Connection, jobs: Sequence[CountsOfJob]) -> list[Counted | None]:
    """Add the counts of jobs, once for each job and each id; None for each job that was counted before."""
    new_jobs = _noted(connection, counted_jobs, {(job.job_id,) for job in jobs})
    to_count = [_taken(new_jobs, (job.job_id,)) for job in jobs]
    now = agreed_time.now()
    wanted = [count for job, is_new in zip(jobs, to_count, strict=True) if is_new for count in job.counts]
    new_ids = _noted_ids(connection, wanted, now)
    added: list[Count] = []
    results: list[Counted | None] = []
    for job, is_new in zip(jobs, to_count, strict=True):
        if not is_new:
            results.append(None)
            continue
        fresh = [count for count in job.counts if count.id is None or _taken(new_ids, _id_of(count))]
        added += fresh
        results.append(Counted(repeated=len(job.counts) - len(fresh)))
    _add(connection, added, now)
    return results


def _id_of(count: Count) -> tuple[str, ...]:
    return count.subject, count.event, count.id or ""


def _taken(new: set[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Whether a key is new; the next call says that it is not."""
    is_new = key in new
    new.discard(key)
    return is_new


def _noted_ids(connection: Connection, counts: Iterable[Count], now: datetime) -> set[tuple[str, ...]]:
    return _noted(connection, counted_ids, {_id_of(count) for count in counts if count.id is not None}, now)


def _noted(connection: Connection, table: Table, keys: set[tuple[str, ...]], *rest: datetime) -> set[tuple[str, ...]]:
    """Record keys in a table; return the new ones."""
    if not keys:
        return set()
    more = tuple(map(moment_text, rest))
    rows = packed(key + more for key in sorted(keys))
    return {tuple(row) for row in execute(connection, _insert_new(connection.dialect.name, table), rows)}


def _add(connection: Connection, counts: Sequence[Count], now: datetime) -> None:
    """Add up what goes to the same row, and write the sums."""
    of_all_time: Counter[tuple[str, ...]] = Counter()
    by_quarter: Counter[tuple[str, ...]] = Counter()
    by_minute: Counter[tuple[str, ...]] = Counter()
    who: dict[tuple[str, ...], set[int]] = {}
    for count in counts:
        names = count.subject, count.event
        quarter = (*names, moment_text(start_of(count.at, QUARTER)))
        of_all_time[names] += count.number
        by_quarter[quarter] += count.number
        if count.at >= now - MINUTES_KEPT:
            by_minute[*names, moment_text(start_of(count.at, MINUTE))] += count.number
        if count.unique is not None:
            who.setdefault(quarter, set()).add(sketch.hash_of(count.unique))
    # The totals come first: a writer holds a total's row to the end, and with it the rest of the counter.
    for table, sums in ((counters, of_all_time), (quarter_counts, by_quarter), (minute_counts, by_minute)):
        if sums:
            _add_to(connection, table, sums)
    if who:
        _add_to_sketches(connection, who)


def _add_to(connection: Connection, table: Table, sums: Mapping[tuple[str, ...], int]) -> None:
    """Add to counters. Raises `CounterFull`: SQLite would go on with a number that is no longer an integer."""
    rows = packed((*key, number) for key, number in sorted(sums.items()))
    added = execute(connection, _insert_or_add(connection.dialect.name, table), rows)
    if added.rowcount != len(sums):
        names = sorted({f"{subject!r}, {event!r}" for subject, event, *_ in sums})
        among = f"one of {len(names)} counters" if len(names) > 1 else f"the counter of {names[0]}"
        raise CounterFull(f"{among[:1].upper()}{among[1:]} cannot hold more: it would go beyond 2^63 - 1.")


def _add_to_sketches(connection: Connection, who: Mapping[tuple[str, ...], set[int]]) -> None:
    """Merge into the sketches, which only the holder of their counters' totals may change."""
    dialect, keys = connection.dialect.name, sorted(who)
    found = execute(connection, _sketches_of(dialect), packed((place, *key) for place, key in enumerate(keys)))
    known = {row.place: sketch.unpacked(row.sketch) for row in found}
    changed = []
    for place, key in enumerate(keys):
        before = known.get(place, sketch.EMPTY)
        if (after := sketch.added(before, who[key])) != before:
            changed.append(_sketch_row(key, sketch.packed(after)))
    if changed:
        connection.execute(_set_sketch(dialect), changed)


def _sketch_row(key: tuple[str, ...], kept: bytes) -> dict[str, Any]:
    subject, event, bucket_at = key
    return {"subject": subject, "event": event, "bucket_at": datetime.fromisoformat(bucket_at), "sketch": kept}


@cache
def _insert_new(dialect: str, table: Table) -> Any:
    statement = _insert(dialect, table)
    return statement.on_conflict_do_nothing().returning(*table.primary_key.columns)


@cache
def _insert_or_add(dialect: str, table: Table) -> Any:
    statement = _insert(dialect, table)
    before, more = table.c["count"], statement.excluded["count"]
    fits = case((more > _NONE, before <= _MOST - more), else_=before >= -_MOST - more)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns), set_={"count": before + more}, where=fits
    )


def _insert(dialect: str, table: Table) -> Any:
    columns = {column.name: column.type for column in table.c}
    told = unfold_lists(dialect, "told", columns)
    return insert_for(dialect)(table).from_select(list(columns), select(told).where(true()))


@cache
def _sketches_of(dialect: str) -> Any:
    names = {column.name: column.type for column in quarter_sketches.primary_key.columns}
    asked = unfold_lists(dialect, "asked", {"place": Integer(), **names})
    is_same = [quarter_sketches.c[name] == asked.c[name] for name in names]
    return select(asked.c.place, quarter_sketches.c.sketch).join_from(asked, quarter_sketches, and_(*is_same))


@cache
def _set_sketch(dialect: str) -> Any:
    statement = insert_for(dialect)(quarter_sketches)
    return statement.on_conflict_do_update(
        index_elements=list(quarter_sketches.primary_key.columns), set_={"sketch": statement.excluded.sketch}
    )
