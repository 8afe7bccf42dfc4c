"""A job that nobody started in time fails."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, update

from service.ledger.guards import IN_LANES, found_by_state, state_is
from service.ledger.records.tallied import tally
from service.ledger.states import WAITING, State
from service.tables import jobs


def record_expired(connection: Connection, writer: str, at: datetime, limit: int) -> Sequence[RowMapping]:
    """Fail up to `limit` waiting jobs whose time to start has passed; return them, as they stood in their lanes."""
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
        .returning(jobs.c.kind, jobs.c.id, jobs.c.arq_id, *IN_LANES)
    )
    rows = failed.mappings().all()
    tally(connection, ((writer, row["kind"], State.FAILED) for row in rows), at)
    return rows
