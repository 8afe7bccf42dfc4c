"""Jobs with undecided edges are followed up, in bounded transactions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from service.flow_tables import followups
from service.ledger.models import NOTHING_FOLLOWED, Followed
from service.ledger.records.decided import Decided, decide, decide_deeper
from service.ledger.records.edges import Parent, lock_parents
from service.ledger.records.ended import leave, record_decided

_JOBS_AT_ONCE = 100


def record_unfollowed(connection: Connection, ids: Sequence[str], at: datetime) -> None:
    """Have jobs followed up after all: a version without edges may have ended them."""
    leave(connection, lock_parents(connection, ids), at)


def record_followups(connection: Connection, at: datetime, writer: str) -> Followed:
    """Follow up some of the jobs that wait for it, longest wait first; `left` says whether there may be more.

    Jobs that another process is following up at this moment are left to it.
    """
    oldest = select(followups.c.job_id).order_by(followups.c.since).limit(_JOBS_AT_ONCE)
    taken = connection.execute(oldest.with_for_update(skip_locked=True)).scalars().all()
    if not taken:
        return NOTHING_FOLLOWED
    parents = list(lock_parents(connection, taken).values())
    decided = _decide(connection, parents, at)
    decide_deeper(connection, decided, at)
    done = [job_id for job_id in taken if job_id not in decided.left]
    connection.execute(delete(followups).where(followups.c.job_id.in_(done)))
    followed = record_decided(connection, decided, at, writer)
    return followed._replace(left=followed.left or len(taken) == _JOBS_AT_ONCE)


def _decide(connection: Connection, parents: Sequence[Parent], at: datetime) -> Decided:
    """Decide what is free; wait only where nothing is.

    Transactions that follow up two parts of a dense flow would often wait for each other: parents of one are children
    of the other.
    """
    decided = decide(connection, parents, at, waits=False)
    return decide(connection, parents, at) if decided.left and not decided.edges else decided
