"""A user runs jobs now: jobs that wait for their time become due at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.ledger.changes import Changed, ChangeResult
from service.ledger.records.changed import Change, Row, apply, locked
from service.ledger.states import PROMOTABLE, State


@dataclass(frozen=True, slots=True)
class Advance:
    id: str
    at: datetime


def record_advanced(connection: Connection, advances: Sequence[Advance]) -> list[Changed]:
    """Make jobs that wait for their time due. A queued job is already due; a blocked one waits for others."""
    rows = locked(connection, [advance.id for advance in advances])
    first = {advance.id: advance for advance in reversed(advances)}
    may = [row for row in rows.values() if row["state"] in PROMOTABLE]
    wanted = [(row, Change(row["id"], first[row["id"]].at, {"run_at": first[row["id"]].at})) for row in may]
    made = {row["id"]: one for row, one in zip(may, apply(connection, wanted), strict=True)}
    return [made.get(advance.id) or _refused(rows.get(advance.id)) for advance in advances]


def _refused(row: Row | None) -> Changed:
    if row is None:
        return Changed(ChangeResult.NOT_FOUND)
    state = State(row["state"])
    results = {State.QUEUED: ChangeResult.DUE_ALREADY, State.BLOCKED: ChangeResult.BLOCKED}
    return Changed(results.get(state, ChangeResult.STATE_FORBIDS), state)
