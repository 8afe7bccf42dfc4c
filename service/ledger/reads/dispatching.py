"""What the sweep asks: which recorded jobs are not known to be on the queue, and which have come due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, String, bindparam, exists, literal, select, tuple_, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.records.guards import CREATED_AT, found_by_state, state_is
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING, State
from service.tables import jobs

# The API dispatches a job right after its commit; only what is older than this was perhaps forgotten. Sooner, a backlog
# that is being worked off would be put a second time.
GRACE_BEFORE_DISPATCH = timedelta(seconds=10)
# Jobs due within the horizon wait in Redis, where they come due to the millisecond; later ones in SQL.
HORIZON = timedelta(seconds=30)

_PROMOTED = (State.SCHEDULED, State.RETRYING)
_TO_PUT = (jobs.c.id, jobs.c.attempt, jobs.c.kind, jobs.c.queue, jobs.c.run_at, jobs.c.arq_id, jobs.c.priority)


async def undispatched(connection: AsyncConnection, epoch: str, at: datetime, limit: int) -> Sequence[Any]:
    """Find waiting jobs, due within the horizon, that were not put on the queue of this `epoch`."""
    waiting = select(*_TO_PUT).where(
        found_by_state(*WAITING), jobs.c.run_at <= at + HORIZON, at - GRACE_BEFORE_DISPATCH >= CREATED_AT
    )
    # Three ranges: "other than" cannot use an index, and '' stands alone so that of it only what is due is walked.
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
        select(*_TO_PUT)
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
    """Say which of jobs, each at its (id, attempt), wait for that attempt to begin as before."""
    found = select(jobs.c.id, jobs.c.attempt).where(jobs.c.id.in_([job_id for job_id, _ in put]), state_is(*WAITING))
    rows = {(row.id, row.attempt) for row in await connection.execute(found)}
    return {job_id for job_id, attempt in put if (job_id, attempt) in rows}


async def note_dispatched(connection: AsyncConnection, put: Sequence[tuple[str, int]], epoch: str) -> None:
    """Remember that jobs, each at its (id, attempt), were put on the queue of this `epoch`.

    One that was started since is another attempt's matter: that may have ended, and wait where nobody put it.
    """
    rows = parameter([{"id": job_id, "attempt": attempt} for job_id, attempt in put])
    await connection.execute(_note(connection.dialect.name), {**rows, "epoch": epoch})


async def has_come_due(connection: AsyncConnection, at: datetime) -> tuple[bool, bool]:
    """Say whether there is anything to promote, and anything that has expired."""
    due = exists().where(found_by_state(*_PROMOTED), jobs.c.run_at <= at)
    expired = exists().where(found_by_state(*WAITING), jobs.c.expires_at <= at)
    row = (await connection.execute(select(due, expired))).one()
    return row[0], row[1]


async def promote_due(connection: AsyncConnection, at: datetime, limit: int) -> Sequence[Any]:
    """Call `queued` what was scheduled, or waited for another attempt, and has come due.

    Return these jobs: the places of those with a priority depend on it from now on.
    """
    due = select(jobs.c.id).where(found_by_state(*_PROMOTED), jobs.c.run_at <= at).order_by(jobs.c.run_at).limit(limit)
    promoted = await connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(due), state_is(*_PROMOTED))
        .values(state=State.QUEUED, prefetched=0)
        .returning(*_TO_PUT)
    )
    return promoted.all()


@cache
def _note(dialect: str) -> Any:
    put = unfold(dialect, "put", {"id": String(255), "attempt": Integer()})
    still = (jobs.c.id == put.c.id, jobs.c.attempt == put.c.attempt, state_is(*WAITING))
    return update(jobs).where(*still).values(dispatch_epoch=bindparam("epoch"))
