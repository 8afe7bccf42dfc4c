"""A user cancels a job: at once while it waits; a running one ends `cancelled` whatever its attempt comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, FromClause, String, func, update

from service.lane_rules import counted_as, in_order
from service.ledger.guards import IN_LANES, state_is
from service.ledger.models import NOTHING_FOLLOWED, Ended, Followed
from service.ledger.records.ended import record_ended
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import UNSTARTED, State
from service.ledger.traits import FOLLOWED
from service.tables import Moment, jobs, moment_text


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    writer: str
    at: datetime


class Cancelled(NamedTuple):
    """What a job is now: `cancelled`, or still `running`. One that waited in `lanes` stands there as `member`.

    What followed from all that were cancelled together is told with one of them.
    """

    state: State
    member: str = ""
    lanes: tuple[str, ...] = ()
    followed: Followed = NOTHING_FOLLOWED


def record_cancelled(connection: Connection, cancels: Sequence[Cancel]) -> list[Cancelled | None]:
    """Cancel jobs at once that have not started, and note the wish for running ones. None for each that had ended."""
    dialect = connection.dialect.name
    taken = connection.execute(_cancel_waiting(dialect), _rows(cancels)).all()
    waiting = {row.id: row for row in taken}
    tally(
        connection, ((cancels[0].writer, _counted_as(row), State.CANCELLED) for row in waiting.values()), cancels[0].at
    )
    others = [cancel for cancel in cancels if cancel.id not in waiting]
    running = set(connection.execute(_ask_running(dialect), _rows(others)).scalars()) if others else set()
    done = dict.fromkeys(running, Cancelled(State.RUNNING)) | {row.id: _cancelled(row) for row in waiting.values()}
    if ended := [
        Ended(row.id, _counted_as(row), State.CANCELLED, row.traits) for row in taken if row.traits & FOLLOWED
    ]:
        following = record_ended(connection, ended, cancels[0].at, cancels[0].writer)
        done[ended[0].id] = done[ended[0].id]._replace(followed=following)
    return [done.get(cancel.id) for cancel in cancels]


def _rows(cancels: Sequence[Cancel]) -> dict[str, str]:
    return parameter([{"id": cancel.id, "at": moment_text(cancel.at)} for cancel in cancels])


def _counted_as(row: Any) -> str:
    return counted_as(row.kind, row.lane_limits)


def _cancelled(row: Any) -> Cancelled:
    return Cancelled(State.CANCELLED, row.arq_id or row.id, in_order(row.lane, row.kind_lane))


@cache
def _cancel_waiting(dialect: str) -> Any:
    cancel = _cancels(dialect)
    return (
        update(jobs)
        .where(jobs.c.id == cancel.c.id, state_is(*UNSTARTED))
        .values(state=State.CANCELLED, finished_at=cancel.c.at, cancel_requested_at=cancel.c.at)
        .returning(jobs.c.id, jobs.c.kind, jobs.c.arq_id, jobs.c.traits, *IN_LANES)
    )


@cache
def _ask_running(dialect: str) -> Any:
    cancel = _cancels(dialect)
    return (
        update(jobs)
        .where(jobs.c.id == cancel.c.id, state_is(State.RUNNING))
        .values(cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, cancel.c.at))
        .returning(jobs.c.id)
    )


def _cancels(dialect: str) -> FromClause:
    return unfold(dialect, "cancel", {"id": String(255), "at": Moment()})
