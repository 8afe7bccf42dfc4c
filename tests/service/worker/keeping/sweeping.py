"""Shared by the tests of the sweep's chores: two processes over one ledger and queue, and forgotten jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import update

from jobs import Context, job
from service.ledger.records.workers import record_registered
from service.tables import sweep_lease, workers
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.workload import Workload
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


async def register_rescuer(desk: Desk) -> str:
    """Register a worker that has beaten without a gap for long enough to call others dead."""
    now = datetime.now(UTC)
    async with writing(desk.ledger.database) as connection:
        since = now - timedelta(seconds=25)
        await connection.run_sync(record_registered, since, id="rescuer", hostname="here", pid=1, queues="default")
        await connection.execute(update(workers).where(workers.c.id == "rescuer").values(heartbeat_at=now))
    return "rescuer"


def lease_of(desk: Desk) -> tuple[Workload, WorkerLease]:
    workload = Workload(desk.resources.process_id)
    return workload, WorkerLease(desk.resources, desk.lifecycle, workload)
