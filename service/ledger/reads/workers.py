"""Who is alive, and what each worker runs according to the ledger. A worker's heartbeat is the lease of all it runs."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping, exists, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.fact_tables import stack_wishes
from service.ledger.guards import IN_LANES, found_by_state, is_silent
from service.ledger.leases import SILENT_AFTER
from service.ledger.states import WORKER_LOST, Outcome, State
from service.tables import attempts, jobs, workers

_RUNNING = (
    jobs.c.id,
    jobs.c.arq_id,
    jobs.c.kind,
    jobs.c.attempt,
    jobs.c.crashes,
    jobs.c.prefetched,
    jobs.c.worker,
    *IN_LANES,
)


async def living_workers(connection: AsyncConnection, now: datetime) -> Sequence[RowMapping]:
    """Return the workers whose heartbeat is fresh."""
    fresh = workers.c.ended_at.is_(None) & (workers.c.heartbeat_at >= now - SILENT_AFTER)
    return (await connection.execute(select(workers).where(fresh).order_by(workers.c.id))).mappings().all()


async def worked_queues(connection: AsyncConnection) -> set[str]:
    """Return the queues that any worker takes jobs from, or took them from within the retention."""
    worked = await connection.execute(select(workers.c.queues).distinct())
    return {queue for queues in worked.scalars() for queue in queues.split(",")}


async def is_anybody_silent(connection: AsyncConnection, at: datetime) -> bool:
    """Whether there may be a worker to declare dead. Only a read, so it does not take SQLite's write lock."""
    return bool((await connection.execute(select(exists().where(is_silent(at))))).scalar_one())


async def running_under(connection: AsyncConnection, worker_id: str) -> Sequence[RowMapping]:
    """Find the jobs that the ledger says this worker runs."""
    held = select(*_RUNNING).where(found_by_state(State.RUNNING), jobs.c.worker == worker_id)
    return (await connection.execute(held)).mappings().all()


class Wishes(NamedTuple):
    """Wishes about a worker: jobs to cancel, attempts whose stacks to report, or to take no new jobs."""

    cancel: frozenset[str] = frozenset()
    stacks: Sequence[tuple[str, int]] = ()
    drain: bool = False


async def wishes_of(connection: AsyncConnection, worker_id: str) -> Wishes:
    """Find the wishes about this worker, in one statement."""
    cancel = select(literal("cancel").label("what"), jobs.c.id, jobs.c.attempt).where(
        found_by_state(State.RUNNING), jobs.c.worker == worker_id, jobs.c.cancel_requested_at.is_not(None)
    )
    stacks = select(literal("stack"), stack_wishes.c.job_id, stack_wishes.c.attempt).where(
        stack_wishes.c.worker == worker_id, stack_wishes.c.taken_at.is_(None)
    )
    drain = select(literal("drain"), workers.c.id, literal(0)).where(
        workers.c.id == worker_id, workers.c.drain_at.is_not(None)
    )
    rows = (await connection.execute(union_all(cancel, stacks, drain))).all()
    return Wishes(
        frozenset(job_id for what, job_id, _ in rows if what == "cancel"),
        [(job_id, attempt) for what, job_id, attempt in rows if what == "stack"],
        any(what == "drain" for what, _, _ in rows),
    )


async def orphans(connection: AsyncConnection, limit: int) -> Sequence[RowMapping]:
    """Find running jobs whose worker is gone; `declared_dead` is 0 for a worker that had stopped in order."""
    living = select(workers.c.id).where(workers.c.ended_at.is_(None))
    orphaned = (
        select(*_RUNNING, workers.c.declared_dead)
        .outerjoin(workers, workers.c.id == jobs.c.worker)
        .where(found_by_state(State.RUNNING), jobs.c.worker.not_in(living))
        .limit(limit)
    )
    return (await connection.execute(orphaned)).mappings().all()


async def isolated_losses(connection: AsyncConnection, job_id: str) -> int:
    """Count the attempts of an isolated job that were lost with their worker since its latest crash.

    A replay resets crashes, so a replayed job has to crash again before it is isolated.
    """
    of_job = attempts.c.job_id == job_id
    latest_crash = select(func.coalesce(func.max(attempts.c.number), 0)).where(
        of_job, attempts.c.outcome == str(Outcome.CRASHED)
    )
    lost = (attempts.c.outcome == str(Outcome.INTERRUPTED)) & (attempts.c.error_type == WORKER_LOST)
    counted = select(func.count()).where(of_job, lost, attempts.c.number > latest_crash.scalar_subquery())
    return int((await connection.execute(counted)).scalar_one())
