"""The members of operations: the jobs that a filter matches, read and counted without looking at many others."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import key_taken
from service.ledger.operations import Place
from service.ledger.reads.listing import Filter, page_of, places_of
from service.ledger.rows import json_rows
from service.tables import jobs


class Member(NamedTuple):
    """A job that an operation deals with, as read. `taken`: another live job holds its unique key."""

    id: str
    kind: str
    state: str
    queue: str
    priority: int
    unique_key: str | None
    lane: str | None
    kind_lane: str | None
    lane_limits: str | None
    traits: int
    taken: bool
    listed_at: datetime

    @property
    def place(self) -> Place:
        return Place(self.listed_at, self.id)


_TAKEN = Member._fields.index("taken")


async def far_end(connection: AsyncConnection, wanted: Filter, number: int) -> Place | None:
    """Return the place up to which a read looks at no more than `number` jobs in each range of the filter's index.

    None: there are fewer up to the end.
    """
    statement = places_of(wanted, number)
    if statement is None:
        return None
    nearest = min if wanted.ascending else max
    return nearest((Place(*row) for row in await connection.execute(statement)), default=None)


async def members_of(connection: AsyncConnection, wanted: Filter, limit: int) -> Sequence[Member]:
    """Return a page of members, newest first, with everything needed to act on them."""
    columns = [*(jobs.c[name] for name in Member._fields[:-2]), key_taken().label("taken")]
    statement = page_of(columns, wanted, limit)
    if statement is None:
        return []
    if connection.dialect.name == "sqlite":
        return await _as_json(connection, statement)
    return [Member(*row[:-1]) for row in (await connection.execute(statement)).all()]


async def _as_json(connection: AsyncConnection, page: Any) -> Sequence[Member]:
    """Read a page as one JSON text: SQLAlchemy's rows cost more than parsing it."""
    rows = page.subquery("page")
    columns = [rows.c[name] for name in (*Member._fields[:-1], "listed_at")]
    read = from_json((await connection.execute(select(json_rows("sqlite", columns)).select_from(rows))).scalar_one())
    for row in read:
        row[_TAKEN], row[-1] = bool(row[_TAKEN]), datetime.fromisoformat(row[-1])
    return [Member(*row) for row in read]


async def count_members(connection: AsyncConnection, wanted: Filter, limit: int) -> int:
    """Count the members up to `wanted.until`, `limit` at most."""
    statement = page_of([jobs.c.id], wanted, limit)
    if statement is None:
        return 0
    counted = await connection.execute(select(func.count()).select_from(statement.subquery()))
    return int(counted.scalar_one())
