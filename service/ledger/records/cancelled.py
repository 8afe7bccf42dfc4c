"""A user cancels a job: at once while it waits; a running one ends `cancelled` whatever its attempt comes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, FromClause, String, func, update

from service.ledger.guards import state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING, State
from service.tables import Moment, jobs, moment_text


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    writer: str
    at: datetime


def record_cancelled(connection: Connection, cancels: Sequence[Cancel]) -> list[State | None]:
    """Cancel waiting jobs at once, and note the wish for running ones. Return each state; None for a terminal job."""
    rows = parameter([{"id": cancel.id, "at": moment_text(cancel.at)} for cancel in cancels])
    taken = connection.execute(_cancel_waiting(connection.dialect.name), rows)
    waiting = {row.id: row.kind for row in taken}
    tally(connection, ((cancels[0].writer, kind, State.CANCELLED) for kind in waiting.values()), cancels[0].at)
    running = set(connection.execute(_ask_running(connection.dialect.name), rows).scalars())
    return [
        State.CANCELLED if cancel.id in waiting else State.RUNNING if cancel.id in running else None
        for cancel in cancels
    ]


@cache
def _cancel_waiting(dialect: str) -> Any:
    cancel = _cancels(dialect)
    return (
        update(jobs)
        .where(jobs.c.id == cancel.c.id, state_is(*WAITING))
        .values(state=State.CANCELLED, finished_at=cancel.c.at, cancel_requested_at=cancel.c.at)
        .returning(jobs.c.id, jobs.c.kind)
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
