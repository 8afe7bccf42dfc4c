"""What a user may do to a job: cancel it, replay it; and what its own attempt says meanwhile: progress."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, String, func, select, update
from sqlalchemy.types import TypeEngine

from service.ledger.records.guards import found_by_state, key_taken, state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import REPLAYABLE, WAITING, State
from service.tables import Moment, jobs, moment_text


@dataclass(frozen=True, slots=True)
class Cancel:
    id: str
    writer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Replay:
    id: str
    at: datetime


class Replayed(StrEnum):
    """What became of a replay."""

    YES = "replayed"
    UNIQUE_KEY_TAKEN = "unique_key_taken"
    STATE_FORBIDS = "state_forbids"


@dataclass(frozen=True, slots=True)
class Progress:
    id: str
    attempt: int
    done: int
    total: int | None


def record_cancelled(connection: Connection, cancels: Sequence[Cancel]) -> list[State | None]:
    """Cancel waiting jobs at once, and note the wish for running ones. Gives the state; None for a terminal job."""
    rows = parameter([{"id": cancel.id, "at": moment_text(cancel.at)} for cancel in cancels])
    taken = connection.execute(_cancel_waiting(connection.dialect.name), rows)
    waiting = {row.id: row.kind for row in taken}
    tally(connection, ((cancels[0].writer, kind, State.CANCELLED) for kind in waiting.values()), cancels[0].at)
    running = set(connection.execute(_ask_running(connection.dialect.name), rows).scalars())
    return [
        State.CANCELLED if cancel.id in waiting else State.RUNNING if cancel.id in running else None
        for cancel in cancels
    ]


def record_replayed(connection: Connection, replays: Sequence[Replay]) -> list[Replayed]:
    """Put failed and cancelled jobs back, due now; attempts go on counting.

    Raises `IntegrityError` where two of them have one unique key, or a new job takes it at this moment.
    """
    rows = parameter([{"id": replay.id, "at": moment_text(replay.at)} for replay in replays])
    replayed = set(connection.execute(_replay(connection.dialect.name), rows).scalars())
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
    statement = select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.state.in_(REPLAYABLE))
    return connection.execute(statement).scalars().all()


def record_progress(connection: Connection, notes: Sequence[Progress]) -> list[bool]:
    """Note how far attempts are. False where the attempt is over."""
    rows = [{"id": note.id, "attempt": note.attempt, "done": note.done, "total": note.total} for note in notes]
    noted = set(connection.execute(_progress(connection.dialect.name), parameter(rows)).scalars())
    return [note.id in noted for note in notes]


def record_expired(connection: Connection, writer: str, at: datetime, limit: int) -> int:
    """Fail waiting jobs whose time to start has passed."""
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


_ONE_JOB: dict[str, TypeEngine[Any]] = {"id": String(255), "at": Moment()}


@cache
def _cancel_waiting(dialect: str) -> Any:
    cancel = unfold(dialect, "cancel", _ONE_JOB)
    return (
        update(jobs)
        .where(jobs.c.id == cancel.c.id, state_is(*WAITING))
        .values(state=State.CANCELLED, finished_at=cancel.c.at, cancel_requested_at=cancel.c.at)
        .returning(jobs.c.id, jobs.c.kind)
    )


@cache
def _ask_running(dialect: str) -> Any:
    cancel = unfold(dialect, "cancel", _ONE_JOB)
    return (
        update(jobs)
        .where(jobs.c.id == cancel.c.id, state_is(State.RUNNING))
        .values(cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, cancel.c.at))
        .returning(jobs.c.id)
    )


@cache
def _replay(dialect: str) -> Any:
    replay = unfold(dialect, "replay", _ONE_JOB)
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
        .returning(jobs.c.id)
    )


@cache
def _progress(dialect: str) -> Any:
    columns: dict[str, TypeEngine[Any]] = {
        "id": String(255),
        "attempt": Integer(),
        "done": Integer(),
        "total": Integer(),
    }
    note = unfold(dialect, "note", columns)
    return (
        update(jobs)
        .where(jobs.c.id == note.c.id, jobs.c.attempt == note.c.attempt, state_is(State.RUNNING))
        .values(progress_done=note.c.done, progress_total=note.c.total)
        .returning(jobs.c.id)
    )
