"""Failures by their fingerprint: attempts that failed alike, and jobs that were refused alike, are one group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.figure_tables import failure_counts, failure_groups
from service.ledger.guards import unindexed
from service.ledger.reads.figures import step_start, steps_of
from service.ledger.records.failed import SEVERAL as SEVERAL  # what `destination` may be

SortBy = Literal["failures", "jobs_failed", "first_at", "latest_at"]
# With more groups than this, only the ones that failed most are read.
MOST_GROUPS = 2_000


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """A group, and its counts since some moment.

    `kind` is the label of its jobs, or else their kind. `message` comes from its first failure, `place` is file:line or
    None. `destination` is the lane of the jobs' kind, such as `host:example.com`: None without one, `SEVERAL` for more.
    `failures` counts attempts, `jobs_failed` the jobs that ended with one of them. A job that was recorded as failed,
    such as one of a bad row in an outbox, counts once in both.
    """

    fingerprint: str
    kind: str
    error_type: str
    message: str
    place: str | None
    destination: str | None
    first_at: datetime
    latest_at: datetime
    failures: int
    jobs_failed: int


async def groups(
    connection: AsyncConnection,
    *,
    since: datetime,
    kind: str | None = None,
    text: str | None = None,
    sort: SortBy = "failures",
    limit: int = 100,
) -> Sequence[FailureGroup]:
    """Return the groups that failed since then, most failures (or latest failure) first.

    `text` is searched for in message, error type, place and kind, in upper or lower case.
    """
    counted = _counted(since).order_by(func.sum(failure_counts.c.failures).desc()).limit(MOST_GROUPS)
    found = await _described(connection, (await connection.execute(counted)).all())
    wanted = [one for one in found if (kind is None or one.kind == kind) and _says(one, text)]
    wanted.sort(key=lambda one: (getattr(one, sort), one.fingerprint), reverse=True)
    return wanted[:limit]


async def find_group(connection: AsyncConnection, fingerprint: str, *, since: datetime) -> FailureGroup | None:
    """Return a group, even if it has not failed since then; None if nothing is known about it."""
    of_it = failure_counts.c.fingerprint == fingerprint
    rows: Sequence[Any] = (await connection.execute(_counted(since).where(of_it))).all()
    if not rows:
        latest = func.max(failure_counts.c.latest_at, type_=failure_counts.c.latest_at.type)
        latest_at = (await connection.execute(select(latest).where(of_it))).scalar_one()
        rows = [(fingerprint, 0, 0, latest_at, None, None)]
    return next(iter(await _described(connection, rows)), None)


async def failure_series(
    connection: AsyncConnection, fingerprints: Collection[str], *, since: datetime, until: datetime, step: timedelta
) -> Mapping[str, Sequence[int]]:
    """Count each group's failures by time, as `figures.series` does."""
    start = step_start(since, step)
    counts = {fingerprint: [0] * steps_of(start, until, step) for fingerprint in fingerprints}
    found = select(failure_counts.c.fingerprint, failure_counts.c.bucket_at, failure_counts.c.failures).where(
        failure_counts.c.fingerprint.in_(fingerprints),
        failure_counts.c.bucket_at >= start,
        failure_counts.c.bucket_at < until,
    )
    for fingerprint, at, failures in await connection.execute(found):
        counts[fingerprint][(at - start) // step] += failures
    return counts


def _counted(since: datetime) -> Select[Any]:
    counts, destination = failure_counts.c, failure_counts.c.destination
    # Without the index on it, because SQLite would walk through all of it to group the rows.
    fingerprint: ColumnElement[Any] = unindexed(counts.fingerprint)
    return (
        select(
            fingerprint,
            func.sum(counts.failures),
            func.sum(counts.jobs_failed),
            func.max(counts.latest_at, type_=counts.latest_at.type),
            func.min(destination),
            func.max(destination),
        )
        .where(counts.bucket_at >= since.replace(second=0, microsecond=0))
        .group_by(fingerprint)
    )


async def _described(connection: AsyncConnection, counted: Sequence[Any]) -> list[FailureGroup]:
    """Add the facts of each group, from the earliest of the rows that processes wrote about it."""
    of_them = failure_groups.c.fingerprint.in_([row[0] for row in counted])
    rows = await connection.execute(select(failure_groups).where(of_them).order_by(failure_groups.c.first_at))
    told: dict[str, Any] = {}
    for row in rows:
        told.setdefault(row.fingerprint, row)
    return [
        FailureGroup(
            fingerprint,
            *(told[fingerprint].kind, told[fingerprint].error_type, told[fingerprint].message),
            told[fingerprint].place,
            one if one == another else SEVERAL,
            told[fingerprint].first_at,
            latest_at or told[fingerprint].first_at,
            int(failures),
            int(jobs_failed),
        )
        for fingerprint, failures, jobs_failed, latest_at, one, another in counted
        if fingerprint in told
    ]


def _says(group: FailureGroup, text: str | None) -> bool:
    told = (group.message, group.error_type, group.place or "", group.kind)
    return text is None or any(text.casefold() in one.casefold() for one in told)
