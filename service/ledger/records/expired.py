"""A job that was not started in time fails."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from service.lane_rules import counted_as, in_order
from service.ledger.guards import IN_LANES, found_by_state, state_is
from service.ledger.models import NOTHING_FOLLOWED, Ended, Followed
from service.ledger.records.ended import record_ended
from service.ledger.records.tallied import tally
from service.ledger.states import UNSTARTED, State
from service.ledger.traits import FOLLOWED
from service.tables import jobs


class Expired(NamedTuple):
    """A job that has expired. If it waited in `lanes`, its id there is `member`.

    The first of the jobs that expired together carries what followed from all of them.
    """

    id: str
    member: str
    lanes: tuple[str, ...] = ()
    followed: Followed = NOTHING_FOLLOWED


def record_expired(connection: Connection, writer: str, at: datetime, limit: int) -> list[Expired]:
    """Fail up to `limit` jobs whose time to start has passed, whatever they are waiting for."""
    expired = (
        select(jobs.c.id)
        .where(found_by_state(*UNSTARTED), jobs.c.expires_at <= at)
        .order_by(jobs.c.expires_at)
        .limit(limit)
    )
    rows = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(expired), state_is(*UNSTARTED), jobs.c.expires_at <= at)
        .values(
            state=State.FAILED,
            finished_at=at,
            error_type="Expired",
            error_message="The job was not started before its expires_in had passed.",
        )
        .returning(jobs.c.kind, jobs.c.id, jobs.c.arq_id, jobs.c.traits, *IN_LANES)
    ).all()
    tally(connection, ((writer, counted_as(row.kind, row.lane_limits), State.FAILED) for row in rows), at)
    failed = [Expired(row.id, row.arq_id or row.id, in_order(row.lane, row.kind_lane)) for row in rows]
    if ended := [
        Ended(row.id, counted_as(row.kind, row.lane_limits), State.FAILED, row.traits)
        for row in rows
        if row.traits & FOLLOWED
    ]:
        failed[0] = failed[0]._replace(followed=record_ended(connection, ended, at, writer))
    return failed
