"""A user replays a failed or cancelled job: it is queued again, due now; failures and crashes count anew."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, String, select, update

from service.ledger.guards import key_taken, state_is
from service.ledger.records.lane_seqs import move_to_the_end
from service.ledger.rows import parameter, unfold
from service.ledger.states import REPLAYABLE, State
from service.tables import Moment, jobs, moment_text


@dataclass(frozen=True, slots=True)
class Replay:
    id: str
    at: datetime


class Replayed(StrEnum):
    """What became of a replay."""

    YES = "replayed"
    UNIQUE_KEY_TAKEN = "unique_key_taken"
    STATE_FORBIDS = "state_forbids"


def record_replayed(connection: Connection, replays: Sequence[Replay]) -> list[Replayed]:
    """Put failed and cancelled jobs back, due now, at the end of their lanes; attempts go on counting.

    Raises `IntegrityError` where two of them have one unique key, or a new job takes it at this moment.
    """
    rows = parameter([{"id": replay.id, "at": moment_text(replay.at)} for replay in replays])
    replayed = {row.id: row.lane_seq for row in connection.execute(_replay(connection.dialect.name), rows)}
    in_lanes = [replay.id for replay in replays if replayed.get(replay.id) is not None]
    if in_lanes:
        move_to_the_end(connection, in_lanes)
    left = [replay.id for replay in replays if replay.id not in replayed]
    blocked = set(_still_replayable(connection, left)) if left else set()
    return [
        Replayed.YES
        if replay.id in replayed
        else Replayed.UNIQUE_KEY_TAKEN
        if replay.id in blocked
        else Replayed.STATE_FORBIDS
        for replay in replays
    ]


def _still_replayable(connection: Connection, ids: Sequence[str]) -> Sequence[str]:
    statement = select(jobs.c.id).where(jobs.c.id.in_(ids), state_is(*REPLAYABLE))
    return connection.execute(statement).scalars().all()


@cache
def _replay(dialect: str) -> Any:
    replay = unfold(dialect, "replay", {"id": String(255), "at": Moment()})
    return (
        update(jobs)
        .where(jobs.c.id == replay.c.id, state_is(*REPLAYABLE), jobs.c.unique_key.is_(None) | ~key_taken())
        .values(
            state=State.QUEUED,
            prefetched=0,
            failures=0,
            crashes=0,
            run_at=replay.c.at,
            started_at=None,
            finished_at=None,
            cancel_requested_at=None,
            expires_at=None,
            error_type=None,
            error_message=None,
            progress_done=None,
            progress_total=None,
            dispatch_epoch="",
        )
        .returning(jobs.c.id, jobs.c.lane_seq)
    )
