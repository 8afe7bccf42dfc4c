"""Who is alive. A worker's heartbeat is the lease of all it runs; leases are kept by the database's clock."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.states import State
from service.tables import jobs, workers

HEARTBEAT_EVERY = timedelta(seconds=5)
SILENT_AFTER = timedelta(seconds=20)


async def register(connection: AsyncConnection, at: datetime, **worker: Any) -> None:
    """Begin a worker's life under an id of its own."""
    await connection.execute(insert(workers).values(started_at=at, heartbeat_at=at, **worker))


async def beat(connection: AsyncConnection, worker_id: str, at: datetime) -> bool:
    """Renew a worker's lease; False when it was declared dead, and with it all that it runs."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    return (await connection.execute(living.values(heartbeat_at=at).returning(workers.c.id))).first() is not None


async def end(connection: AsyncConnection, worker_id: str, at: datetime) -> None:
    """End a worker's life in order."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    await connection.execute(living.values(ended_at=at))


async def declare_dead(connection: AsyncConnection, at: datetime) -> list[str]:
    """Declare dead the workers that have been silent for `SILENT_AFTER`; give their ids."""
    silent = update(workers).where(workers.c.ended_at.is_(None), workers.c.heartbeat_at < at - SILENT_AFTER)
    dead = await connection.execute(silent.values(ended_at=at, declared_dead=1).returning(workers.c.id))
    return list(dead.scalars())


async def orphans(connection: AsyncConnection, limit: int) -> Sequence[Any]:
    """Find running jobs whose worker lives no more."""
    living = select(workers.c.id).where(workers.c.ended_at.is_(None))
    orphaned = select(*_RUNNING).where(jobs.c.state == State.RUNNING, jobs.c.worker.not_in(living)).limit(limit)
    return (await connection.execute(orphaned)).all()


async def running_under(connection: AsyncConnection, worker_id: str) -> Sequence[Any]:
    """Find the jobs that the ledger says this worker runs."""
    held = select(*_RUNNING).where(jobs.c.state == State.RUNNING, jobs.c.worker == worker_id)
    return (await connection.execute(held)).all()


_RUNNING = (
    jobs.c.id,
    jobs.c.kind,
    jobs.c.attempt,
    jobs.c.crashes,
    jobs.c.worker,
)
