"""Reads of the counters."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.stats.tables import counters


async def read_counters(
    connection: AsyncConnection,
    *,
    subject: str | None = None,
    event: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 1_000,
) -> Sequence[Any]:
    """Read counters in the order of their names, beginning after the (subject, event) of `after`."""
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


def _of(subject: str | None, event: str | None) -> list[ColumnElement[bool]]:
    wanted = ((counters.c.subject, subject), (counters.c.event, event))
    return [column == value for column, value in wanted if value is not None]
