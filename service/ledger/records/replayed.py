"""A user replays a failed or cancelled job: it is queued again, due now, and failures and crashes restart at 0."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, update

from service.ledger.guards import key_taken, state_is
from service.ledger.models import Ended
from service.ledger.records.edges import lock_parents
from service.ledger.records.ended import leave, record_live_again
from service.ledger.records.kept import forget_kept
from service.ledger.records.lane_seqs import move_to_the_end
from service.ledger.records.own_retries import renew_retries
from service.ledger.records.reopened import broken_parents, reopen
from service.ledger.rows import ids_parameter, is_one_of
from service.ledger.states import REPLAYABLE, State
from service.ledger.traits import FOLLOWED, Trait
from service.tables import Moment, jobs


@dataclass(frozen=True, slots=True)
class Replay:
    """A wish to replay a job; with `from_start` without its kept steps and checkpoint."""

    id: str
    at: datetime
    from_start: bool = False


class Replayed(StrEnum):
    """What became of a replay."""

    YES = "replayed"
    UNIQUE_KEY_TAKEN = "unique_key_taken"
    STATE_FORBIDS = "state_forbids"
    PARENT_FAILED = "parent_failed"


def record_replayed(connection: Connection, replays: Sequence[Replay]) -> list[Replayed]:
    """Put failed and cancelled jobs back, due now, at the end of their lanes; the attempt number goes on.

    A job that waited for others when it was cancelled waits for them again. A job whose parent has failed is left out.

    Raises `IntegrityError` if two of them have the same unique key, or a new job takes it at this moment.
    """
    at = max(replay.at for replay in replays)
    replayed = _put_back(connection, [replay.id for replay in replays], at, with_parents=False)
    left = _lock_replayable(connection, [one.id for one in replays if one.id not in replayed])
    broken: set[str] = set()
    if with_parents := {job_id for job_id, traits in left.items() if traits & Trait.PARENTS.value}:
        broken = reopen(connection, with_parents)
        replayed |= _put_back(connection, with_parents - broken, at, with_parents=True)
        # Jobs whose unique keys are taken: edges that were opened for them are decided again.
        leave(connection, [one for one in with_parents - broken if one not in replayed], at)
    if traits := {row.id: row.traits for row in replayed.values() if row[_TRAITS]}:
        _give_anew(connection, replays, traits)
    if in_lanes := {row.id for row in replayed.values() if row[_LANE_SEQ] is not None}:
        move_to_the_end(connection, [one.id for one in replays if one.id in in_lanes])
    if followed := [row for row in replayed.values() if row[_TRAITS] & FOLLOWED]:
        record_live_again(connection, [Ended(row.id, row.kind, row.state, row.traits) for row in followed], at)
    return [_became(one.id, replayed, broken, left) for one in replays]


# Read by position: looking columns up by name costs more.
_RETURNED = (jobs.c.id, jobs.c.kind, jobs.c.state, jobs.c.lane_seq, jobs.c.traits)
_LANE_SEQ, _TRAITS = 3, 4


def _put_back(connection: Connection, ids: Iterable[str], at: datetime, *, with_parents: bool) -> dict[str, Any]:
    dialect = connection.dialect.name
    parameters = {**ids_parameter(dialect, ids), "at": at}
    return {row[0]: row for row in connection.execute(_replay(dialect, with_parents=with_parents), parameters).all()}


def _give_anew(connection: Connection, replays: Sequence[Replay], traits: Mapping[str, int]) -> None:
    """Restart what counts from a replay on: steps if asked for, and the jobs' own policies."""
    replayed = [(replay, traits[replay.id]) for replay in replays if traits.get(replay.id)]
    if over := [replay.id for replay, has in replayed if replay.from_start and has & Trait.STEPS.value]:
        forget_kept(connection, over)
    if own := {replay.id: replay.at for replay, has in replayed if has & Trait.RETRY.value}:
        renew_retries(connection, own)


def _became(job_id: str, replayed: Container[str], broken: Container[str], left: Container[str]) -> Replayed:
    if job_id in replayed:
        return Replayed.YES
    if job_id in broken:
        return Replayed.PARENT_FAILED
    return Replayed.UNIQUE_KEY_TAKEN if job_id in left else Replayed.STATE_FORBIDS


def _lock_replayable(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Lock jobs that may be replayed and return their traits: their edges are decided next."""
    if not ids:
        return {}
    # Parents are locked with them, and first, as everywhere.
    lock_parents(connection, {*ids, *broken_parents(connection, ids)})
    found = select(jobs.c.id, jobs.c.traits).where(jobs.c.id.in_(ids), state_is(*REPLAYABLE))
    return {row.id: row.traits for row in connection.execute(found)}


@cache
def _replay(dialect: str, *, with_parents: bool) -> Any:
    """Put jobs back: the ones without parents or, after their edges were decided, the ones `with_parents`."""
    parents = jobs.c.traits.bitwise_and(Trait.PARENTS.value)
    waits = func.coalesce(jobs.c.blocked_by, 0) > 0
    return (
        update(jobs)
        .where(is_one_of(dialect, jobs.c.id), state_is(*REPLAYABLE), jobs.c.unique_key.is_(None) | ~key_taken())
        .where(parents > 0 if with_parents else parents == 0)
        .values(
            state=case((waits, State.BLOCKED), else_=State.QUEUED) if with_parents else State.QUEUED,
            prefetched=0,
            failures=0,
            crashes=0,
            run_at=bindparam("at", type_=Moment),
            due_since=None,
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
        .returning(*_RETURNED)
    )
