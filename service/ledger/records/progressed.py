"""A running attempt reports its progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, String, update
from sqlalchemy.types import TypeEngine

from service.ledger.guards import state_is
from service.ledger.rows import found_by, parameter, unfold
from service.ledger.states import State
from service.tables import jobs

_COLUMNS: dict[str, TypeEngine[Any]] = {"id": String(255), "attempt": Integer(), "done": Integer(), "total": Integer()}


@dataclass(frozen=True, slots=True)
class Progress:
    id: str
    attempt: int
    done: int
    total: int | None


def record_progress(connection: Connection, notes: Sequence[Progress]) -> list[bool]:
    """Record the progress of attempts; return False for an attempt that is over."""
    rows = [{"id": note.id, "attempt": note.attempt, "done": note.done, "total": note.total} for note in notes]
    noted = set(connection.execute(_progress(connection.dialect.name), parameter(rows)).scalars())
    return [note.id in noted for note in notes]


@cache
def _progress(dialect: str) -> Any:
    note = unfold(dialect, "note", _COLUMNS)
    return (
        update(jobs)
        .where(found_by(dialect, jobs.c.id, note.c.id), jobs.c.attempt == note.c.attempt, state_is(State.RUNNING))
        .values(progress_done=note.c.done, progress_total=note.c.total)
        .returning(jobs.c.id)
    )
