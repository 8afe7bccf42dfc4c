"""A user cancels a job: at once while it waits; a running one ends `cancelled` whatever its attempt comes to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, update

from service.lane_rules import counted_as, in_order
from service.ledger.guards import state_is
from service.ledger.models import NOTHING_FOLLOWED, Ended, Followed
from service.ledger.operations import OPERATE
from service.ledger.records.ended import record_ended
from service.ledger.records.stopped import stop_operations_of
from service.ledger.records.tallied import tally
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.states import UNSTARTED, State
from service.ledger.traits import FOLLOWED
from service.tables import Moment, jobs


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    writer: str
    at: datetime


class Cancelled(NamedTuple):
    """A job's present state: `cancelled`, or still `running`. If it waited in `lanes`, its id there is `member`.

    One job of a group carries what followed from all that were cancelled with it.
    """

    state: State
    member: str = ""
    lanes: tuple[str, ...] = ()
    followed: Followed = NOTHING_FOLLOWED


def record_cancelled(connection: Connection, cancels: Sequence[Cancel]) -> list[Cancelled | None]:
    """Cancel jobs that have not started at once, and note the wish for running ones. None for each that had ended."""
    dialect = connection.dialect.name
    # One time for the whole group: the latest, so that no job ends before it was created.
    writer, at = cancels[0].writer, max(cancel.at for cancel in cancels)
    taken = connection.execute(_cancel_waiting(dialect), _parameters(dialect, cancels, at)).all()
    done = {row[0]: _cancelled(*row) for row in taken}
    operating = [row[0] for row in taken if row[_KIND] == OPERATE]
    _tally(connection, writer, taken, at)
    if others := [cancel for cancel in cancels if cancel.id not in done]:
        running = connection.execute(_ask_running(dialect), _parameters(dialect, others, at)).all()
        done |= {job_id: Cancelled(State.RUNNING) for job_id, _ in running}
        operating += [job_id for job_id, kind in running if kind == OPERATE]
    if operating:
        stop_operations_of(connection, operating, at)
    if ended := [
        Ended(row.id, counted_as(row.kind, row.lane_limits), State.CANCELLED, row.traits)
        for row in taken
        if row[_TRAITS] & FOLLOWED
    ]:
        following = record_ended(connection, ended, at, writer)
        done[ended[0].id] = done[ended[0].id]._replace(followed=following)
    return [done.get(cancel.id) for cancel in cancels]


def _parameters(dialect: str, cancels: Sequence[Cancel], at: datetime) -> dict[str, Any]:
    return {**ids_parameter(dialect, [cancel.id for cancel in cancels]), "at": at}


def _tally(connection: Connection, writer: str, taken: Sequence[Sequence[Any]], at: datetime) -> None:
    counts = Counter[tuple[str, str, str]]()
    for told, count in Counter(map(_counted_by, taken)).items():
        counts[writer, counted_as(*told), State.CANCELLED] += count
    tally(connection, counts, at)


# Read by position: looking columns up by name costs more.
_TAKEN = (jobs.c.id, jobs.c.arq_id, jobs.c.lane, jobs.c.kind_lane, jobs.c.kind, jobs.c.lane_limits, jobs.c.traits)
_counted_by, _KIND, _TRAITS = itemgetter(4, 5), 4, 6


def _cancelled(job_id: str, arq_id: str | None, lane: str | None, kind_lane: str | None, *_: Any) -> Cancelled:
    return Cancelled(State.CANCELLED, arq_id or job_id, in_order(lane, kind_lane))


@cache
def _cancel_waiting(dialect: str) -> Any:
    return (
        update(jobs)
        .where(is_one_of(dialect, jobs.c.id), state_is(*UNSTARTED))
        .values(state=State.CANCELLED, finished_at=_AT, cancel_requested_at=_AT)
        .returning(*_TAKEN)
    )


@cache
def _ask_running(dialect: str) -> Any:
    return (
        update(jobs)
        .where(is_one_of(dialect, jobs.c.id), state_is(State.RUNNING))
        .values(cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, _AT))
        .returning(jobs.c.id, jobs.c.kind)
    )


_AT = bindparam("at", type_=Moment)
