"""What the sweep reads: which waiting jobs are not known to be on the queue, and which have come due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import CREATED_AT, TO_DISPATCH, found_by_state, state_is
from service.ledger.states import PROMOTABLE, UNSTARTED, WAITING
from service.tables import jobs

# The API dispatches a job right after its commit; only an older job may have been forgotten. With a shorter time, a
# backlog that is being worked off would be put a second time.
GRACE_BEFORE_DISPATCH = timedelta(seconds=10)
# Jobs due within the horizon wait in Redis, where they come due to the millisecond; later ones in SQL.
HORIZON = timedelta(seconds=30)


async def undispatched(connection: AsyncConnection, epoch: str, at: datetime, limit: int) -> Sequence[Any]:
    """Find waiting jobs, due within the horizon, that were not put on the queue of this `epoch`."""
    waiting = select(*TO_DISPATCH).where(
        found_by_state(*WAITING), jobs.c.run_at <= at + HORIZON, at - GRACE_BEFORE_DISPATCH >= CREATED_AT
    )
    # Three ranges: "other than" cannot use an index, and '' is a range of its own so that only its due jobs are walked.
    never = waiting.where(jobs.c.dispatch_epoch == "").order_by(jobs.c.run_at)
    before = waiting.where(jobs.c.dispatch_epoch > "", jobs.c.dispatch_epoch < epoch)
    after = waiting.where(jobs.c.dispatch_epoch > epoch)
    found = union_all(*(_part(one.limit(limit)) for one in (never, before, after))).limit(limit)
    return (await connection.execute(found)).all()


def _part(statement: Select[Any]) -> Select[Any]:
    return select(statement.subquery())


async def dispatched(
    connection: AsyncConnection, epoch: str, beyond: tuple[datetime, str], limit: int
) -> Sequence[Any]:
    """Return a page of the waiting jobs that were put on the queue of this `epoch`, `beyond` a (run_at, id)."""
    run_at, job_id = beyond
    found = (
        select(*TO_DISPATCH)
        .where(
            found_by_state(*WAITING),
            jobs.c.dispatch_epoch == epoch,
            tuple_(jobs.c.run_at, jobs.c.id) > tuple_(literal(run_at, jobs.c.run_at.type), literal(job_id)),
        )
        .order_by(jobs.c.run_at, jobs.c.id)
        .limit(limit)
    )
    return (await connection.execute(found)).all()


async def still_waiting(connection: AsyncConnection, put: Sequence[tuple[str, int]]) -> set[str]:
    """Return the ids of jobs, put as (id, attempt), that still wait at that attempt."""
    found = select(jobs.c.id, jobs.c.attempt).where(jobs.c.id.in_([job_id for job_id, _ in put]), state_is(*WAITING))
    rows = {(row.id, row.attempt) for row in await connection.execute(found)}
    return {job_id for job_id, attempt in put if (job_id, attempt) in rows}


async def has_come_due(connection: AsyncConnection, at: datetime) -> tuple[bool, bool]:
    """Return whether there is anything to promote, and anything that has expired."""
    due = exists().where(found_by_state(*PROMOTABLE), jobs.c.run_at <= at)
    expired = exists().where(found_by_state(*UNSTARTED), jobs.c.expires_at <= at)
    row = (await connection.execute(select(due, expired))).one()
    return row[0], row[1]
