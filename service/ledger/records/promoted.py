"""A scheduled or retrying job comes due."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from service.ledger.guards import TO_DISPATCH, found_by_state, state_is
from service.ledger.states import PROMOTABLE, State
from service.tables import jobs


def record_promoted(connection: Connection, at: datetime, limit: int) -> Sequence[Any]:
    """Make up to `limit` due jobs `queued`, earliest first.

    Return these jobs: from now on, a priority decides their places on the queue. Jobs that another writer is starting
    or changing are skipped: waiting for them could deadlock, because they are locked in any order.
    """
    is_promotable = found_by_state(*PROMOTABLE)
    due = select(jobs.c.id).where(is_promotable, jobs.c.run_at <= at).order_by(jobs.c.run_at).limit(limit)
    free = due.with_for_update(skip_locked=True).cte("due")
    promoted = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(select(free.c.id)), state_is(*PROMOTABLE), jobs.c.run_at <= at)
        .values(state=State.QUEUED, prefetched=0)
        .returning(*TO_DISPATCH)
    )
    return promoted.all()
