"""Who is alive. A worker's heartbeat is the lease of all it runs; leases are kept by the database's clock."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, case, exists, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.records.guards import found_by_state
from service.ledger.rows import insert_for
from service.ledger.states import Outcome, State
from service.tables import Moment, attempts, jobs, workers

HEARTBEAT_EVERY = timedelta(seconds=5)
SILENT_AFTER = timedelta(seconds=20)
# Two heartbeats missed: after an outage of this length others may look dead that only could not write.
_GAP = timedelta(seconds=10)
BLOCKED_AFTER_S = 5.0
# The error type of an isolated attempt that was lost with its worker.
WORKER_LOST = "WorkerLost"


async def register(connection: AsyncConnection, at: datetime, **worker: Any) -> None:
    """Begin a worker's life under an id of its own. Safe to repeat: the answer to the first time may be lost.

    Heartbeats have been written without a gap since any worker that still beats began to: where workers die one after
    the other, somebody may yet rescue what they held.
    """
    beating = workers.c.ended_at.is_(None) & workers.c.heartbeat_at.between(at - _GAP, at)
    since = (await connection.execute(select(func.min(workers.c.beating_since)).where(beating))).scalar_one()
    row = insert_for(connection.dialect.name)(workers).values(
        started_at=at, heartbeat_at=at, beating_since=since or at, **worker
    )
    await connection.execute(row.on_conflict_do_nothing())


async def beat(
    connection: AsyncConnection, worker_id: str, at: datetime, loop_lag_s: float = 0.0, hung_threads: int = 0
) -> bool:
    """Renew a worker's lease; False when it was declared dead, and with it all that it runs."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    since = case((workers.c.heartbeat_at < at - _GAP, literal(at, Moment())), else_=workers.c.beating_since)
    told = {"loop_lag_s": loop_lag_s, "hung_threads": hung_threads}
    renewed = living.values(heartbeat_at=at, beating_since=since, **told).returning(workers.c.id)
    return (await connection.execute(renewed)).first() is not None


async def end(connection: AsyncConnection, worker_id: str, at: datetime, *, crashed: bool = False) -> None:
    """End a worker's life: in order or, where nobody asked for that, as a crash of what it still runs."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    await connection.execute(living.values(ended_at=at, declared_dead=int(crashed)))


async def is_anybody_silent(connection: AsyncConnection, at: datetime) -> bool:
    """Whether there may be somebody to declare dead: a read, which takes SQLite's write lock from nobody."""
    return bool((await connection.execute(select(exists().where(_silent(at))))).scalar_one())


async def declare_dead(connection: AsyncConnection, rescuer: str, at: datetime) -> list[str]:
    """Declare dead the workers that have been silent for `SILENT_AFTER`; return their ids.

    Only a worker that beats, and before which heartbeats were written without a gap for as long, may say so: right
    after an outage of the database, or a suspended machine, everybody looks dead.
    """
    itself = workers.alias("rescuer")
    may_say_so = exists().where(
        itself.c.id == rescuer,
        itself.c.ended_at.is_(None),
        itself.c.heartbeat_at >= at - _GAP,
        itself.c.beating_since <= at - SILENT_AFTER,
    )
    declared = (
        update(workers).where(_silent(at), may_say_so).values(ended_at=at, declared_dead=1).returning(workers.c.id)
    )
    return list((await connection.execute(declared)).scalars())


async def orphans(connection: AsyncConnection, limit: int) -> Sequence[RowMapping]:
    """Find running jobs whose worker lives no more; `declared_dead` is 0 for one that had stopped in order."""
    living = select(workers.c.id).where(workers.c.ended_at.is_(None))
    orphaned = (
        select(*_RUNNING, workers.c.declared_dead)
        .outerjoin(workers, workers.c.id == jobs.c.worker)
        .where(found_by_state(State.RUNNING), jobs.c.worker.not_in(living))
        .limit(limit)
    )
    return (await connection.execute(orphaned)).mappings().all()


async def isolated_losses(connection: AsyncConnection, job_id: str) -> int:
    """Count the attempts of an isolated job that were lost with their worker.

    Those since its latest crash: a replay takes crashes back, so it takes more of them to be isolated again.
    """
    of_job = attempts.c.job_id == job_id
    latest_crash = select(func.coalesce(func.max(attempts.c.number), 0)).where(
        of_job, attempts.c.outcome == str(Outcome.CRASHED)
    )
    lost = (attempts.c.outcome == str(Outcome.INTERRUPTED)) & (attempts.c.error_type == WORKER_LOST)
    counted = select(func.count()).where(of_job, lost, attempts.c.number > latest_crash.scalar_subquery())
    return int((await connection.execute(counted)).scalar_one())


async def running_under(connection: AsyncConnection, worker_id: str) -> Sequence[RowMapping]:
    """Find the jobs that the ledger says this worker runs."""
    held = select(*_RUNNING).where(found_by_state(State.RUNNING), jobs.c.worker == worker_id)
    return (await connection.execute(held)).mappings().all()


_RUNNING = (
    jobs.c.id,
    jobs.c.kind,
    jobs.c.attempt,
    jobs.c.crashes,
    jobs.c.prefetched,
    jobs.c.worker,
)


def _silent(at: datetime) -> ColumnElement[bool]:
    return workers.c.ended_at.is_(None) & (workers.c.heartbeat_at < at - SILENT_AFTER)
