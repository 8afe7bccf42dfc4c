"""Old figures are merged into coarser ones, and finally deleted.

Merged rows are deleted by the statement that reads them, in one transaction: a row written meanwhile is either merged,
or stays for the next time.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Table, delete, exists, insert, select, tuple_

from service.figure_tables import durations, event_counts, failure_counts, failure_groups, levels
from service.histogram import SIZE, added
from service.ledger.records.durations import EPOCH
from service.ledger.records.failed import SEVERAL
from service.ledger.records.purged import record_rows_purged

MERGED = ""
FIGURES_KEPT = timedelta(days=60)
_BATCH = 1_000


class Merge(Protocol):
    """Merges the rows of a table from `start` to `end` into one row at `start` for each thing counted."""

    def __call__(self, connection: Connection, start: datetime, end: datetime) -> None: ...


def merge_events(connection: Connection, start: datetime, end: datetime) -> None:
    """Keep the last value of each total."""
    gone = _taken(connection, event_counts, event_counts.c.bucket_at, start, end)
    totals: dict[tuple[str, str], int] = {}
    for row in gone:
        totals[row.kind, row.event] = max(row.total, totals.get((row.kind, row.event), 0))
    _put(connection, event_counts, ("kind", "event"), totals, "total", bucket_at=start)


def merge_levels(connection: Connection, start: datetime, end: datetime) -> None:
    """Keep the highest value of each level."""
    highest: dict[str, float] = {}
    for row in _taken(connection, levels, levels.c.at, start, end):
        highest[row.name] = max(row.value, highest.get(row.name, row.value))
    _put(connection, levels, ("name",), {(name,): value for name, value in highest.items()}, "value", at=start)


def merge_failures(connection: Connection, start: datetime, end: datetime) -> None:
    """Add up the failures of each group, whichever process counted them."""
    sums: dict[str, dict[str, Any]] = {}
    for row in _taken(connection, failure_counts, failure_counts.c.bucket_at, start, end):
        known = sums.setdefault(row.fingerprint, {**row._asdict(), "bucket_at": start, "writer": MERGED} | _NOTHING)
        known["failures"] += row.failures
        known["jobs_failed"] += row.jobs_failed
        known["latest_at"] = max(known["latest_at"], row.latest_at)
        known["destination"] = row.destination if row.destination == known["destination"] else SEVERAL
    if sums:
        connection.execute(insert(failure_counts), list(sums.values()))


_NOTHING = {"failures": 0, "jobs_failed": 0}


def merge_durations(connection: Connection, start: datetime, end: datetime) -> None:
    """Add up the histograms of each kind; all-time histograms grow by what no earlier merge has added."""
    of_the_hour: dict[Any, tuple[list[int], float]] = {}
    of_all_time: dict[Any, tuple[list[int], float]] = {}
    for row in _taken(connection, durations, durations.c.bucket_at, start, end):
        key = row.kind, row.measure
        of_the_hour[key] = _sum(of_the_hour.get(key), row)
        if row.writer != MERGED:
            of_all_time[key] = _sum(of_all_time.get(key), row)
    if of_all_time:
        keys = tuple_(durations.c.kind, durations.c.measure).in_(list(of_all_time))
        known = delete(durations).where(durations.c.bucket_at == EPOCH, keys).returning(*durations.c)
        for row in connection.execute(known):
            of_all_time[row.kind, row.measure] = _sum(of_all_time[row.kind, row.measure], row)
    for at, sums in ((start, of_the_hour), (EPOCH, of_all_time)):
        rows = [
            {"bucket_at": at, "kind": kind, "measure": measure, "writer": MERGED}
            | {"counts": to_json(counts).decode(), "sum_s": sum_s}
            for (kind, measure), (counts, sum_s) in sums.items()
        ]
        if rows:
            connection.execute(insert(durations), rows)


def _sum(known: tuple[list[int], float] | None, row: Any) -> tuple[list[int], float]:
    counts, sum_s = known or ([0] * SIZE, 0.0)
    return added(counts, from_json(row[_COUNTS])), sum_s + row.sum_s


# A row is a tuple, which has a method of this name.
_COUNTS = list(durations.c.keys()).index("counts")


def record_groups_merged(connection: Connection, before: datetime) -> int:
    """Merge the rows that processes wrote about a group before then into one; return how many were merged."""
    written = failure_groups.c.writer != MERGED
    chosen = (
        select(failure_groups.c.fingerprint)
        .where(written, failure_groups.c.first_at < before)
        .order_by(failure_groups.c.first_at)
        .limit(_BATCH)
    )
    names = connection.execute(chosen).scalars().all()
    of_them = failure_groups.c.fingerprint.in_(names)
    is_old = (failure_groups.c.writer == MERGED) | (failure_groups.c.first_at < before)
    gone = connection.execute(delete(failure_groups).where(of_them, is_old).returning(*failure_groups.c)).all()
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(gone, key=lambda row: row.first_at):
        first.setdefault(row.fingerprint, {**row._asdict(), "writer": MERGED})
    if first:
        connection.execute(insert(failure_groups), list(first.values()))
    return len(names)


def record_figures_purged(connection: Connection, before: datetime) -> int:
    """Delete a batch of older rows; return how many. The latest row of each total stays."""
    later = event_counts.alias("later")
    is_not_latest = exists().where(
        later.c.kind == event_counts.c.kind,
        later.c.event == event_counts.c.event,
        later.c.bucket_at > event_counts.c.bucket_at,
        later.c.bucket_at < before,
    )
    counted = select(failure_counts.c.fingerprint).where(failure_counts.c.fingerprint == failure_groups.c.fingerprint)
    is_empty = counted.limit(1).scalar_subquery().is_(None)
    expired: list[tuple[Table, Any]] = [
        (event_counts, (event_counts.c.bucket_at < before) & is_not_latest),
        (levels, levels.c.at < before),
        (durations, (durations.c.bucket_at < before) & (durations.c.bucket_at > EPOCH)),
        (failure_counts, failure_counts.c.bucket_at < before),
        (failure_groups, (failure_groups.c.first_at < before) & is_empty),
    ]
    return sum(record_rows_purged(connection, table, condition) for table, condition in expired)


def _taken(connection: Connection, table: Table, moment: Any, start: datetime, end: datetime) -> Any:
    return connection.execute(delete(table).where(moment >= start, moment < end).returning(*table.c)).all()


def _put(
    connection: Connection, table: Table, names: tuple[str, ...], values: Mapping[Any, Any], of: str, **where: Any
) -> None:
    rows = [dict(zip(names, key, strict=True)) | {of: value} | where for key, value in values.items()]
    if rows:
        connection.execute(insert(table), rows)
