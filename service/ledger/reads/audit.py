"""The loss audit: which accepted jobs nobody answers for.

Every job must be terminal, or running and held by a living worker, or waiting for its due time, or on the queue, or
blocked by a job that will release it. A job whose own rows contradict each other (running, although its attempt has
ended; blocked, although everything it waits for has ended) is always reported. A job that the sweep or the rescue would
mend is judged only if they had the chance: the sweep has made whole passes, without a gap, for `JUDGED_AFTER`. So while
Redis is away, or no worker runs, due jobs and the jobs of dead workers wait, and are not lost; see `Sweeping`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import CREATED_AT, found_by_state
from service.ledger.leases import LONGEST_SWEEP_GAP
from service.ledger.reads.edges import blocked_for_nothing
from service.ledger.states import WAITING, State
from service.tables import attempts, jobs, sweep_lease, workers

JUDGED_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """A job that nobody answers for, and why."""

    job_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sweeping:
    """How the sweep is doing: the queue's epoch and the time at its last whole pass, and since when it had no gap."""

    epoch: str | None
    swept_at: datetime | None
    swept_since: datetime | None

    def had_the_chance(self, now: datetime) -> bool:
        """Whether the sweep has had the time to mend whatever it can."""
        if self.swept_at is None or self.swept_since is None:
            return False
        return now - self.swept_at <= LONGEST_SWEEP_GAP and now - self.swept_since >= JUDGED_AFTER


@dataclass(frozen=True, slots=True)
class _Question:
    """A search for jobs. Each row has an `id` and the columns that `reason` needs."""

    jobs: Select[Any]
    reason: Callable[[Any], str]


async def sweeping(connection: AsyncConnection) -> Sweeping:
    """Read how the sweep is doing."""
    columns = (sweep_lease.c.epoch, sweep_lease.c.swept_at, sweep_lease.c.swept_since)
    row = (await connection.execute(select(*columns))).first()
    return Sweeping(None, None, None) if row is None else Sweeping(*row)


async def count_unaccounted(connection: AsyncConnection, now: datetime) -> int:
    """Count the jobs that nobody answers for; `now` is by the database's clock."""
    found = union_all(*(select(one.jobs.subquery().c.id) for one in await _questions(connection, now))).subquery()
    return int((await connection.execute(select(func.count()).select_from(found))).scalar_one())


async def find_unaccounted(connection: AsyncConnection, now: datetime, limit: int) -> list[Unaccounted]:
    """Return up to `limit` jobs that nobody answers for, with the reasons; `now` is by the database's clock."""
    found: list[Unaccounted] = []
    for one in await _questions(connection, now):
        rows = await connection.execute(one.jobs.limit(limit - len(found)))
        found += [Unaccounted(row.id, one.reason(row)) for row in rows]
    return found


async def _questions(connection: AsyncConnection, now: datetime) -> list[_Question]:
    state = await sweeping(connection)
    questions = [_with_ended_attempt(), _blocked_for_nothing(now - JUDGED_AFTER)]
    if state.had_the_chance(now):
        assert state.epoch is not None
        questions += [_without_worker(now - JUDGED_AFTER), *_not_on_the_queue(state.epoch, now - JUDGED_AFTER)]
    return questions


_LATEST = (attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt)
# A subquery for each of a few rows: Postgres turned EXISTS into a join that scans all attempts.
_ENDED_ATTEMPT = select(literal(1)).where(*_LATEST).scalar_subquery()


def _with_ended_attempt() -> _Question:
    found = select(jobs.c.id, jobs.c.attempt).where(found_by_state(State.RUNNING), _ENDED_ATTEMPT.is_not(None))
    return _Question(found, lambda row: f"running as attempt {row.attempt}, but that attempt has ended")


def _without_worker(late: datetime) -> _Question:
    last_heard_of = func.coalesce(workers.c.ended_at, workers.c.heartbeat_at, type_=workers.c.heartbeat_at.type)
    held = exists().where(workers.c.id == jobs.c.worker, last_heard_of >= late)
    found = select(jobs.c.id, jobs.c.worker).where(
        found_by_state(State.RUNNING), _ENDED_ATTEMPT.is_(None), jobs.c.started_at < late, ~held
    )
    return _Question(found, lambda row: f"running under the worker {row.worker}, which is gone, and not rescued")


def _blocked_for_nothing(late: datetime) -> _Question:
    return _Question(blocked_for_nothing(late), lambda _row: "blocked, but no job that it waits for will release it")


def _not_on_the_queue(epoch: str, late: datetime) -> list[_Question]:
    # A job that was handed back may have come due long ago, but has waited only since its latest attempt ended.
    ended_lately = select(literal(1)).where(*_LATEST, attempts.c.finished_at >= late).scalar_subquery()
    due = select(jobs.c.id, jobs.c.run_at).where(
        found_by_state(*WAITING), jobs.c.run_at < late, late > CREATED_AT, ended_lately.is_(None)
    )
    # As in `dispatching.undispatched`: three ranges of the index. The range of '' must skip jobs that are not due.
    ranges = (
        (jobs.c.dispatch_epoch == literal(""),),
        (jobs.c.dispatch_epoch > "", jobs.c.dispatch_epoch < epoch),
        (jobs.c.dispatch_epoch > epoch,),
    )
    return [_Question(due.where(*one), lambda row: f"due since {row.run_at}, but not on the queue") for one in ranges]
