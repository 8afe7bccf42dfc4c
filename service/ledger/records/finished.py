"""An attempt ends, and its job goes where the outcome sends it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

from pydantic_core import from_json
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    String,
    Text,
    Update,
    and_,
    case,
    func,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.types import TypeEngine

from service.ledger.guards import state_is
from service.ledger.models import Ended, Finish, Finished
from service.ledger.records.ended import record_ended
from service.ledger.records.failed import record_failures
from service.ledger.records.tallied import tally
from service.ledger.rows import insert_for, parameter, unfold
from service.ledger.states import COUNTS_AS_FAILURE, TERMINAL, Outcome, State
from service.ledger.traits import FOLLOWED
from service.tables import Moment, attempts, jobs, moment_text

# Omit null fields from a row; they only enlarge the parameter.
_COLUMNS: dict[str, TypeEngine[Any]] = {
    "id": String(255),
    "attempt": Integer(),
    "state": String(10),
    "outcome": String(11),
    "at": Moment(),
    "failures": Integer(),
    "crashes": Integer(),
    "run_at": Moment(),
    "result": Text(),
    "error_type": Text(),
    "error_message": Text(),
    "traceback": Text(),
    "exchange": Text(),
    "fingerprint": String(16),
}


def record_finished(connection: Connection, finishes: Sequence[Finish]) -> list[Finished | None]:
    """End attempts. None where the fence refuses: the attempt was taken away meanwhile.

    A job whose cancellation was asked for ends `cancelled`, whatever its attempt came to.
    """
    keys = [(finish.id, finish.attempt) for finish in finishes]
    finished, traits = _end(connection, [_row(finish) for finish in finishes])
    if traits:
        _follow(connection, finishes, finished, traits)
    late = [finish for key, finish in zip(keys, finishes, strict=True) if key not in finished]
    repeated = _finished_before(connection, late) if late else {}
    known = [finished.get(key) or repeated.get(key) for key in keys]
    told = [one for one in zip(keys, finishes, known, strict=True) if one[0] not in repeated]
    tally(connection, (event for _, finish, of_it in told for event in _events(finish, of_it)), finishes[0].at)
    if failed := [(finish, of_it.state) for _, finish, of_it in told if finish.fingerprint and of_it is not None]:
        record_failures(connection, failed)
    return known


# Which finishes took, by job and attempt; and the traits of the jobs that have any of `FOLLOWED`, in the same way.
_Ended = tuple[dict[tuple[str, int], Finished], dict[tuple[str, int], int]]


def _end(connection: Connection, rows: list[dict[str, Any]]) -> _Ended:
    """Change the jobs' rows, and write the attempts that ended by it."""
    if connection.dialect.name == "sqlite":
        return _end_in_sqlite(connection, rows)
    rows.sort(key=itemgetter("id"))  # whoever enqueues children locks their parents in this order, too
    finished: dict[tuple[str, int], Finished] = {}
    followed: dict[tuple[str, int], int] = {}
    for job_id, number, state, run_at, queue, priority, traits in connection.execute(_finish_both(), parameter(rows)):
        finished[job_id, number] = Finished(_STATES[state], run_at, queue, priority)
        if traits & FOLLOWED:
            followed[job_id, number] = traits
    return finished, followed


def _end_in_sqlite(connection: Connection, rows: Sequence[dict[str, Any]]) -> _Ended:
    """The same in three statements, whose results are one JSON text for the reason that `started._take` has.

    Nobody else writes within the transaction: what is held by the first is what the second changes.
    """
    held = from_json(connection.execute(_held(), parameter(rows)).scalar_one())
    by_key = {(row["id"], row["attempt"]): row for row in rows}
    finished: dict[tuple[str, int], Finished] = {}
    followed: dict[tuple[str, int], int] = {}
    for job_id, number, cancelled, run_at, queue, priority, traits in held:
        row = by_key[job_id, number]
        state = State.CANCELLED if cancelled else _STATES[row["state"]]
        due = datetime.fromisoformat(row.get("run_at") or run_at)
        finished[job_id, number] = Finished(state, due, queue, priority)
        if traits & FOLLOWED:
            followed[job_id, number] = traits
    if finished:
        ended = parameter([by_key[key] for key in finished])
        connection.execute(_finish_jobs(), ended)
        connection.execute(_note_attempts(), ended)
    return finished, followed


def _follow(
    connection: Connection,
    finishes: Sequence[Finish],
    finished: dict[tuple[str, int], Finished],
    traits: Mapping[tuple[str, int], int],
) -> None:
    """Follow up what has ended; tell it with the first of the finishes that this is about."""
    by_key = {(finish.id, finish.attempt): finish for finish in finishes}
    ended = [
        Ended(key[0], by_key[key].kind, finished[key].state, of_it, by_key[key].outcome is not Outcome.INTERRUPTED)
        for key, of_it in traits.items()
    ]
    followed = record_ended(connection, ended, finishes[0].at, finishes[0].worker)
    first = next(iter(traits))
    finished[first] = finished[first]._replace(followed=followed)


def _events(finish: Finish, finished: Finished | None) -> Iterator[tuple[str, str, str]]:
    """Name what is counted: how a job ended or, where it goes on, why; or that the fence refused it."""
    if finished is None:
        yield finish.worker, finish.kind, "refused"
    elif finished.state in TERMINAL:
        yield finish.worker, finish.kind, finished.state
        if finish.late and finished.state is _SUCCEEDED:
            yield finish.worker, finish.kind, LATE
    else:
        yield finish.worker, finish.kind, "retried" if finish.outcome in COUNTS_AS_FAILURE else finish.outcome


def _finished_before(connection: Connection, refused: Sequence[Finish]) -> dict[tuple[str, int], Finished]:
    """A finish that finds its own attempt recorded was sent again because its answer was lost: a success."""
    key = tuple_(attempts.c.job_id, attempts.c.number)
    rows = connection.execute(
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
        .where(key.in_([(finish.id, finish.attempt) for finish in refused]))
    )
    ended_at = {(finish.id, finish.attempt): finish.at for finish in refused}
    return {
        (row.job_id, row.number): Finished(State(row.state), row.run_at, row.queue, row.priority)
        for row in rows
        if row.finished_at == ended_at[row.job_id, row.number]
    }


def _row(finish: Finish) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": finish.id,
        "attempt": finish.attempt,
        "state": str(finish.state),
        "outcome": str(finish.outcome),
        "at": moment_text(finish.at),
    }
    if finish.result is not None:
        row["result"] = finish.result
    if finish.failures or finish.crashes:
        row |= {"failures": finish.failures, "crashes": finish.crashes}
    if finish.run_at is not None:
        row["run_at"] = moment_text(finish.run_at)
    if finish.exchange is not None:
        row["exchange"] = finish.exchange
    if (failure := finish.failure) is not None:
        row |= {"error_type": failure.type, "error_message": failure.message, "traceback": failure.traceback}
    if finish.fingerprint is not None:
        row["fingerprint"] = finish.fingerprint
    return row


_TERMINAL = [literal_column(f"'{state}'", String) for state in TERMINAL]
# `State(text)` takes ten times as long.
_STATES = {str(state): state for state in State}
_SUCCEEDED = State.SUCCEEDED
# What a success that missed its kind's SLO counts as, too.
LATE = "late"
_TAKEN = (jobs.c.id, jobs.c.attempt, jobs.c.state, jobs.c.run_at, jobs.c.queue, jobs.c.priority, jobs.c.traits)


def _is_held(finish: FromClause) -> ColumnElement[bool]:
    """Guard: the attempt runs, and is the job's latest."""
    return and_(jobs.c.id == finish.c.id, jobs.c.attempt == finish.c.attempt, state_is(State.RUNNING))


def _finish(finish: FromClause) -> Update:
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    return (
        update(jobs)
        .where(_is_held(finish))
        .values(
            state=case((cancelled, State.CANCELLED), else_=finish.c.state),
            failures=jobs.c.failures + func.coalesce(finish.c.failures, 0),
            crashes=jobs.c.crashes + func.coalesce(finish.c.crashes, 0),
            run_at=func.coalesce(finish.c.run_at, jobs.c.run_at),
            result=case((cancelled, None), else_=finish.c.result),
            due_since=case(
                (finish.c.run_at.is_not(None), func.coalesce(jobs.c.due_since, jobs.c.run_at)), else_=jobs.c.due_since
            ),
            fingerprint=func.coalesce(finish.c.fingerprint, jobs.c.fingerprint),
            error_type=finish.c.error_type,
            error_message=finish.c.error_message,
            finished_at=case((cancelled | finish.c.state.in_(_TERMINAL), finish.c.at), else_=None),
        )
    )


def _attempt(job: Any, ended: Any) -> dict[str, ColumnElement[Any]]:
    """Return the columns of an attempt that has ended; while one runs, the job's own row says all there is to say."""
    return {
        "job_id": job.id,
        "number": job.attempt,
        "outcome": case((job.state == State.CANCELLED, str(Outcome.CANCELLED)), else_=ended.outcome),
        "worker": job.worker,
        "started_at": job.started_at,
        "finished_at": ended.at,
        "error_type": ended.error_type,
        "error_message": ended.error_message,
        "traceback": ended.traceback,
        "exchange": ended.exchange,
        "fingerprint": ended.fingerprint,
    }


@cache
def _held() -> Any:
    """Read what this finish may end: the guard of `_finish`, and what it makes the job's next state of."""
    finish = unfold("sqlite", "finish", _COLUMNS)
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    told = func.json_array(
        jobs.c.id, jobs.c.attempt, cancelled, jobs.c.run_at, jobs.c.queue, jobs.c.priority, jobs.c.traits
    )
    return select(func.json_group_array(told)).join_from(finish, jobs, _is_held(finish))


@cache
def _finish_jobs() -> Any:
    return _finish(unfold("sqlite", "finish", _COLUMNS))


@cache
def _note_attempts() -> Any:
    ended = unfold("sqlite", "ended", _COLUMNS)
    columns = _attempt(jobs.c, ended.c)
    source = select(*columns.values()).join_from(ended, jobs, jobs.c.id == ended.c.id)
    return insert_for("sqlite")(attempts).from_select(list(columns), source).on_conflict_do_nothing()


@cache
def _finish_both() -> Any:
    finish = unfold("postgresql", "finish", _COLUMNS)
    told = (finish.c[name] for name in ("outcome", "at", "traceback", "exchange", "fingerprint"))
    done = _finish(finish).returning(
        *_TAKEN, jobs.c.worker, jobs.c.started_at, jobs.c.error_type, jobs.c.error_message, *told
    )
    done_rows = done.cte("done")
    columns = _attempt(done_rows.c, done_rows.c)
    noted = insert_for("postgresql")(attempts).from_select(list(columns), select(*columns.values()))
    taken = select(*(done_rows.c[column.name] for column in _TAKEN))
    return taken.add_cte(noted.on_conflict_do_nothing().cte("noted"))
