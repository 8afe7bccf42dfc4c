"""An attempt ends, and its job goes where the outcome sends it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Integer, String, Text, case, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from service.ledger.models import Finish, Finished
from service.ledger.records.guards import state_is
from service.ledger.records.tallied import tally
from service.ledger.rows import parameter, unfold
from service.ledger.states import COUNTS_AS_FAILURE, TERMINAL, Outcome, State
from service.tables import Moment, attempts, jobs, moment_text

_JOB_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": String(255),
    "attempt": Integer(),
    "state": String(10),
    "failures": Integer(),
    "crashes": Integer(),
    "run_at": Moment(),
    "at": Moment(),
    "result": Text(),
    "error_type": Text(),
    "error_message": Text(),
}
_ATTEMPT_COLUMNS: dict[str, TypeEngine[Any]] = {
    "job_id": String(255),
    "number": Integer(),
    "outcome": String(11),
    "finished_at": Moment(),
    "error_type": Text(),
    "error_message": Text(),
    "traceback": Text(),
}


async def record_finished(connection: AsyncConnection, finishes: Sequence[Finish]) -> list[Finished | None]:
    """End attempts. None where the fence refuses: the attempt was taken away meanwhile.

    A job whose cancellation was asked for ends `cancelled`, whatever its attempt came to.
    """
    statement = _finish_jobs(connection.dialect.name)
    rows = await connection.execute(statement, parameter([_job_row(finish) for finish in finishes]))
    finished = {(row.id, row.attempt): Finished(State(row.state), row.run_at, row.queue, row.priority) for row in rows}
    own = [(finish, finished.get((finish.id, finish.attempt))) for finish in finishes]
    ended = [
        (finish, Outcome.CANCELLED if taken.state is State.CANCELLED else finish.outcome, taken.state)
        for finish, taken in own
        if taken is not None
    ]
    await _close_attempts(connection, [(finish, outcome) for finish, outcome, _ in ended])
    events = ((finish.worker, finish.kind, _event(state, outcome)) for finish, outcome, state in ended)
    await tally(connection, events, finishes[0].at)
    repeated = await _finished_before(connection, [finish for finish, taken in own if taken is None])
    return [taken or repeated.get((finish.id, finish.attempt)) for finish, taken in own]


def _event(state: State, outcome: Outcome) -> str:
    """Name what is counted: how the job ended or, where it goes on, why."""
    if state in TERMINAL:
        return state
    return "retried" if outcome in COUNTS_AS_FAILURE else outcome


async def _close_attempts(connection: AsyncConnection, ended: Sequence[tuple[Finish, Outcome]]) -> None:
    if not ended:
        return
    rows = [_attempt_row(finish, outcome) for finish, outcome in ended]
    await connection.execute(_end_attempts(connection.dialect.name), parameter(rows))


async def _finished_before(connection: AsyncConnection, refused: Sequence[Finish]) -> dict[tuple[str, int], Finished]:
    """A finish that finds its own attempt recorded was sent again because its answer was lost: a success."""
    if not refused:
        return {}
    key = tuple_(attempts.c.job_id, attempts.c.number)
    rows = await connection.execute(
        select(
            attempts.c.job_id,
            attempts.c.number,
            attempts.c.finished_at,
            jobs.c.state,
            jobs.c.run_at,
            jobs.c.queue,
            jobs.c.priority,
        )
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(key.in_([(finish.id, finish.attempt) for finish in refused]), attempts.c.outcome.is_not(None))
    )
    ended_at = {(finish.id, finish.attempt): finish.at for finish in refused}
    return {
        (row.job_id, row.number): Finished(State(row.state), row.run_at, row.queue, row.priority)
        for row in rows
        if row.finished_at == ended_at[row.job_id, row.number]
    }


def _job_row(finish: Finish) -> dict[str, Any]:
    failure = finish.failure
    return {
        "id": finish.id,
        "attempt": finish.attempt,
        "state": finish.state,
        "failures": finish.failures,
        "crashes": finish.crashes,
        "run_at": moment_text(finish.run_at) if finish.run_at else None,
        "at": moment_text(finish.at),
        "result": finish.result,
        "error_type": failure.type if failure else None,
        "error_message": failure.message if failure else None,
    }


def _attempt_row(finish: Finish, outcome: Outcome) -> dict[str, Any]:
    failure = finish.failure
    return {
        "job_id": finish.id,
        "number": finish.attempt,
        "outcome": outcome,
        "finished_at": moment_text(finish.at),
        "error_type": failure.type if failure else None,
        "error_message": failure.message if failure else None,
        "traceback": failure.traceback if failure else None,
    }


@cache
def _finish_jobs(dialect: str) -> Any:
    finish = unfold(dialect, "finish", _JOB_COLUMNS)
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    return (
        update(jobs)
        .where(jobs.c.id == finish.c.id, jobs.c.attempt == finish.c.attempt, state_is(State.RUNNING))
        .values(
            state=case((cancelled, State.CANCELLED), else_=finish.c.state),
            failures=jobs.c.failures + finish.c.failures,
            crashes=jobs.c.crashes + finish.c.crashes,
            run_at=func.coalesce(finish.c.run_at, jobs.c.run_at),
            result=case((cancelled, None), else_=finish.c.result),
            error_type=finish.c.error_type,
            error_message=finish.c.error_message,
            finished_at=case((cancelled | finish.c.state.in_(TERMINAL), finish.c.at), else_=None),
        )
        .returning(jobs.c.id, jobs.c.attempt, jobs.c.state, jobs.c.run_at, jobs.c.queue, jobs.c.priority)
    )


@cache
def _end_attempts(dialect: str) -> Any:
    ended = unfold(dialect, "ended", _ATTEMPT_COLUMNS)
    return (
        update(attempts)
        .where(
            attempts.c.job_id == ended.c.job_id,
            attempts.c.number == ended.c.number,
            attempts.c.outcome.is_(None),
        )
        .values({name: ended.c[name] for name in _ATTEMPT_COLUMNS if name not in ("job_id", "number")})
    )
