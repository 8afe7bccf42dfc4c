"""`GET /v1/stats`: the all-time counters that `update_stats` fills."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, TypeAdapter

from service.access.principal import Scope
from service.ledger.deadline import in_time
from service.stats import series_routes
from service.stats.reads import read_counters, sum_counters
from service.web import cursor
from service.web.cursor import NEXT_CURSOR
from service.web.deps import ResourcesDep, Text
from service.web.etags import UNCHANGED
from service.web.guards import guards
from service.web.problems import responses

router = APIRouter(tags=["stats"])
router.include_router(series_routes.router)


class CounterOut(BaseModel):
    subject: str
    event: str
    count: int


class CounterList(BaseModel):
    counters: list[CounterOut]
    total: int = Field(description="Of all counters that match, on all pages.")
    next_cursor: str | None = Field(description=NEXT_CURSOR)


_place: TypeAdapter[tuple[cursor.Text, cursor.Text]] = TypeAdapter(tuple[cursor.Text, cursor.Text])


@router.get("/v1/stats", dependencies=guards(Scope.READ), responses={**UNCHANGED, **responses(401, 403, 421, 422, 503)})
async def get_stats(
    resources: ResourcesDep,
    subject: Text | None = None,
    event: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    page: Annotated[str | None, Query(alias="cursor", description="`next_cursor` of the previous page")] = None,
) -> CounterList:
    """Read the counters of one subject, one event or both, in the order of their names."""
    after = cursor.decode(_place, page) if page else None

    async def read() -> tuple[Sequence[Any], int]:
        async with resources.ledger.read() as connection:
            rows = await read_counters(connection, subject=subject, event=event, after=after, limit=limit + 1)
            if page is None and len(rows) <= limit:
                return rows, sum(row.count for row in rows)
            return rows, await sum_counters(connection, subject=subject, event=event)

    rows, total = await in_time(read())
    counters = [CounterOut(subject=row.subject, event=row.event, count=row.count) for row in rows[:limit]]
    last = counters[-1] if len(rows) > limit else None
    return CounterList(
        counters=counters, total=total, next_cursor=cursor.encode([last.subject, last.event]) if last else None
    )
