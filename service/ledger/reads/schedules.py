"""Schedules, as users have set them."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.schedule_tables import schedules

_READ_AT_ONCE = 1_000


async def signature(connection: AsyncConnection) -> tuple[int, int]:
    """Return a value that differs after any change by a user. It is cheap, because workers read it every second."""
    found = select(func.count(), func.coalesce(func.sum(schedules.c.revision), 0)).select_from(schedules)
    count, revisions = (await connection.execute(found)).one()
    return int(count), int(revisions)


async def revisions(connection: AsyncConnection) -> Mapping[str, int]:
    """Return the revision of each schedule that has a row."""
    rows = await connection.execute(select(schedules.c.name, schedules.c.revision))
    return {row.name: row.revision for row in rows}


async def rows_of(connection: AsyncConnection, names: Collection[str]) -> list[RowMapping]:
    """Return the rows of these schedules, with the args as the kinds read them."""
    wanted = sorted(names)
    rows: list[RowMapping] = []
    for start in range(0, len(wanted), _READ_AT_ONCE):
        some = select(schedules).where(schedules.c.name.in_(wanted[start : start + _READ_AT_ONCE]))
        rows += (await connection.execute(some)).mappings().all()
    return rows


async def page(connection: AsyncConnection, after: str, limit: int) -> Sequence[RowMapping]:
    """Return schedules that were made at run time, ordered by name."""
    found = select(schedules).where(schedules.c.kind.is_not(None), schedules.c.name > after)
    return (await connection.execute(found.order_by(schedules.c.name).limit(limit))).mappings().all()


async def find(connection: AsyncConnection, name: str) -> RowMapping | None:
    return (await connection.execute(select(schedules).where(schedules.c.name == name))).mappings().first()


async def rows_of_all(connection: AsyncConnection) -> Sequence[RowMapping]:
    return (await connection.execute(select(schedules))).mappings().all()
