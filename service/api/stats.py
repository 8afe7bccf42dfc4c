"""The counters that `update_stats` fills."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from jobs.stats import read_counters
from service.api.deps import ResourcesDep, authorise, storable
from service.api.problems import responses
from service.ledger.deadline import in_time

router = APIRouter(prefix="/v1/stats", tags=["stats"], dependencies=[Depends(authorise), Depends(storable)])


class CounterOut(BaseModel):
    subject: str
    event: str
    count: int


class CounterList(BaseModel):
    counters: list[CounterOut]
    total: int


@router.get("", responses=responses(401, 422, 503))
async def get_stats(resources: ResourcesDep, subject: str | None = None, event: str | None = None) -> CounterList:
    """Read counters, of one subject, one event or both; at most 1,000 of them, in the order of their names."""

    async def read() -> Sequence[Any]:
        async with resources.ledger.read() as connection:
            return await read_counters(connection, subject=subject, event=event)

    rows = await in_time(read())
    counters = [CounterOut(subject=row.subject, event=row.event, count=row.count) for row in rows]
    return CounterList(counters=counters, total=sum(counter.count for counter in counters))
