"""What the sweep asks: which recorded jobs are not known to be on the queue, and which have come due."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, tuple_, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.records.guards import state_is
from service.ledger.states import WAITING, State
from service.tables import jobs

# The API dispatches a job right after its commit; only what is older than this was perhaps forgotten.
GRACE_BEFORE_DISPATCH = timedelta(seconds=2)
# Jobs due within the horizon wait in Redis, where they come due to the millisecond; later ones in SQL.
HORIZON = timedelta(seconds=30)


_TO_PUT = (jobs.c.id, jobs.c.attempt, jobs.c.kind, jobs.c.queue, jobs.c.run_at, jobs.c.arq_id, jobs.c.priority)


async def undispatched(connection: AsyncConnection, epoch: str, at: datetime, limit: int) -> Sequence[Any]:
    """Find waiting jobs, due within the horizon, that were not put on the queue of this `epoch`."""
    waiting = select(*_TO_PUT).where(
        jobs.c.state.in_(WAITING), jobs.c.run_at <= at + HORIZON, jobs.c.created_at <= at - GRACE_BEFORE_DISPATCH
    )
    # Two ranges, since "other than" cannot use an index.
    before = waiting.where(jobs.c.dispatch_epoch < epoch).limit(limit).subquery()
    after = waiting.where(jobs.c.dispatch_epoch > epoch).limit(limit).subquery()
    return (await connection.execute(union_all(select(before), select(after)).limit(limit))).all()


async def note_dispatched(connection: AsyncConnection, put: Sequence[tuple[str, int]], epoch: str) -> None:
    """Remember that jobs, each at its (id, attempt), were put on the queue of this `epoch`.

    One that was started since is another attempt's matter: that may have ended, and wait where nobody put it.
    """
    still = tuple_(jobs.c.id, jobs.c.attempt).in_(put)
    await connection.execute(update(jobs).where(still, state_is(*WAITING)).values(dispatch_epoch=epoch))


async def promote_due(connection: AsyncConnection, at: datetime, limit: int) -> Sequence[Any]:
    """Call `queued` what was scheduled, or waited for another attempt, and has come due.

    Gives these jobs: the places of those with a priority depend on it from now on.
    """
    waiting = (State.SCHEDULED, State.RETRYING)
    due = select(jobs.c.id).where(jobs.c.state.in_(waiting), jobs.c.run_at <= at).order_by(jobs.c.run_at).limit(limit)
    promoted = await connection.execute(
        update(jobs).where(jobs.c.id.in_(due), state_is(*waiting)).values(state=State.QUEUED).returning(*_TO_PUT)
    )
    return promoted.all()
