"""A job that nobody started in time fails."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from service.ledger.guards import found_by_state, state_is
from service.ledger.records.tallied import tally
from service.ledger.states import WAITING, State
from service.tables import jobs


def record_expired(connection: Connection, writer: str, at: datetime, limit: int) -> int:
    """Fail up to `limit` waiting jobs whose time to start has passed; return how many."""
    expired = (
        select(jobs.c.id)
        .where(found_by_state(*WAITING), jobs.c.expires_at <= at)
        .order_by(jobs.c.expires_at)
        .limit(limit)
    )
    failed = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(expired), state_is(*WAITING))
        .values(
            state=State.FAILED,
            finished_at=at,
            error_type="Expired",
            error_message="The job was not started before its expires_in had passed.",
        )
        .returning(jobs.c.kind)
    )
    kinds = failed.scalars().all()
    tally(connection, ((writer, kind, State.FAILED) for kind in kinds), at)
    return len(kinds)
