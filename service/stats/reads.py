"""Reads of the counters."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Table, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.stats.buckets import Size
from service.stats.tables import counters, minute_counts, quarter_counts, quarter_sketches

_SKETCHES_AT_ONCE = 200


async def read_counters(
    connection: AsyncConnection,
    *,
    subject: str | None = None,
    event: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 1_000,
) -> Sequence[Any]:
    """Read counters in the order of their names, starting after the (subject, event) of `after`."""
    statement = select(counters.c.subject, counters.c.event, counters.c["count"].label("count"))
    statement = statement.where(*_of(subject, event))
    if after is not None:
        statement = statement.where(tuple_(counters.c.subject, counters.c.event) > tuple_(*after))
    ordered = statement.order_by(counters.c.subject, counters.c.event).limit(limit)
    return (await connection.execute(ordered)).all()


async def sum_counters(connection: AsyncConnection, *, subject: str | None = None, event: str | None = None) -> int:
    """Add up counters."""
    total = select(func.coalesce(func.sum(counters.c["count"]), 0)).where(*_of(subject, event))
    return int((await connection.execute(total)).scalar_one())


class Wanted(NamedTuple):
    """Counts of a subject, of an event, or of both, between two times."""

    subject: str | None
    event: str | None
    since: datetime
    until: datetime

    def of(self, table: Table) -> list[ColumnElement[bool]]:
        named = ((table.c.subject, self.subject), (table.c.event, self.event))
        is_named = [column == name for column, name in named if name is not None]
        return [*is_named, table.c.bucket_at >= self.since, table.c.bucket_at < self.until]


async def counts_by_time(connection: AsyncConnection, size: Size, wanted: Wanted) -> list[tuple[datetime, int]]:
    """Return the counts by the minute or, for larger buckets, by the quarter of an hour."""
    table = minute_counts if size is Size.MINUTE else quarter_counts
    summed = select(table.c.bucket_at, func.sum(table.c["count"])).where(*wanted.of(table))
    found = await connection.execute(summed.group_by(table.c.bucket_at).order_by(table.c.bucket_at))
    return [(at, int(number)) for at, number in found]


async def sketches_by_time(
    connection: AsyncConnection, wanted: Wanted
) -> AsyncIterator[Sequence[tuple[datetime, bytes]]]:
    """Read the sketches of quarters in the order of their times, some at a time."""
    table = quarter_sketches
    found = select(table.c.bucket_at, table.c.sketch).where(*wanted.of(table)).order_by(table.c.bucket_at)
    async with connection.stream(found) as rows:
        async for some in rows.partitions(_SKETCHES_AT_ONCE):
            yield [(at, sketch) for at, sketch in some]


async def top_subjects(connection: AsyncConnection, wanted: Wanted, limit: int) -> list[tuple[str, int]]:
    """Return the subjects with the highest counts, highest first, by the quarter of an hour."""
    table = quarter_counts
    number = func.sum(table.c["count"]).label("number")
    summed = select(table.c.subject, number).where(*wanted.of(table)).group_by(table.c.subject)
    found = await connection.execute(summed.order_by(number.desc(), table.c.subject).limit(limit))
    return [(subject, int(count)) for subject, count in found]


async def counted_events(connection: AsyncConnection, table: Table) -> list[str]:
    """Return the events in a table of buckets, from one to the next in its index."""
    first = select(func.min(table.c.event).label("event"))
    events = first.cte("events", recursive=True)
    following = select(func.min(table.c.event)).where(table.c.event > events.c.event).correlate(events)
    events = events.union_all(select(following.scalar_subquery()).where(events.c.event.is_not(None)))
    return list((await connection.execute(select(events.c.event).where(events.c.event.is_not(None)))).scalars())


async def count_rows(connection: AsyncConnection, table: Table, condition: ColumnElement[bool]) -> int:
    return int((await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one())


def _of(subject: str | None, event: str | None) -> list[ColumnElement[bool]]:
    wanted = ((counters.c.subject, subject), (counters.c.event, event))
    return [column == value for column, value in wanted if value is not None]
