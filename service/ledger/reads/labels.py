"""Labels: names that jobs count under instead of their kind, e.g. the functions of apps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.tables import job_listing, tallies


class Label(NamedTuple):
    """A label, the kind of its jobs, and all-time counts of how many were enqueued, started, ended and so on."""

    name: str
    kind: str | None
    counts: Mapping[str, int]


async def find_label(connection: AsyncConnection, name: str) -> Label | None:
    """Return a label that has jobs."""
    kind = select(job_listing.c.kind).where(job_listing.c.label == name, job_listing.c.label.is_not(None)).limit(1)
    found = (await connection.execute(kind)).scalar()
    return None if found is None else Label(name, found, (await _counts(connection, [name]))[name])


async def list_labels(connection: AsyncConnection, limit: int) -> list[Label]:
    """Return the first labels that have jobs, ordered by name."""
    names = select(tallies.c.kind.label("name")).where(tallies.c.kind.like("%.%")).distinct().subquery()
    listed = job_listing.c.label == names.c.name, job_listing.c.label.is_not(None)
    kind = select(job_listing.c.kind).where(*listed).limit(1).scalar_subquery().label("kind")
    found = select(names.c.name, kind).where(kind.is_not(None)).order_by(names.c.name).limit(limit)
    kinds = {row.name: row.kind for row in await connection.execute(found)}
    counts = await _counts(connection, list(kinds))
    return [Label(name, kinds[name], counts[name]) for name in kinds]


async def _counts(connection: AsyncConnection, names: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    total = func.sum(tallies.c["count"]).label("total")
    summed = select(tallies.c.kind, tallies.c.event, total).where(tallies.c.kind.in_(names))
    for row in await connection.execute(summed.group_by(tallies.c.kind, tallies.c.event)):
        counts[row.kind][row.event] = int(row.total)
    return counts
