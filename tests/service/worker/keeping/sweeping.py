"""Shared by the tests of the sweep's chores: two processes over one ledger and queue, and forgotten jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import update

from jobs import Context, job
from service.tables import sweep_lease
from tests.service.worker.desk import Desk
from tests.support.writing import writing


class Args(BaseModel): ...


@job("rest", max_attempts=1)
async def rest(_ctx: Context, _args: Args) -> None: ...


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def forgotten(desk: Desk, **fields: Any) -> str:
    """Record a job that nobody has dispatched."""
    return await desk.record_only(rest, **{"created_at": ago(15), "run_at": ago(15)} | fields)


async def on_queue(redis: Redis) -> set[str]:
    return {member.decode() for member in await redis.zrange("arq:queue", 0, -1)}


async def set_lease(desk: Desk, leased_until: datetime) -> None:
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(sweep_lease).values(leased_until=leased_until))
