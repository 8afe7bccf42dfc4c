"""An attempt ends, and its job goes where the outcome sends it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
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
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.types import TypeEngine

from service.ledger.guards import state_is
from service.ledger.models import Ended, Finish, Finished
from service.ledger.records.ended import record_ended
from service.ledger.records.failed import record_failures
from service.ledger.records.handed_over import record_handed_over
from service.ledger.records.tallied import add_up, tally
from service.ledger.rows import execute, found_by, insert_for, packed, unfold_lists
from service.ledger.states import COUNTS_AS_FAILURE, TERMINAL, Outcome, State
from service.ledger.traits import FOLLOWED
from service.tables import Moment, attempts, jobs, moment_text

# What every end has.
_COMMON: dict[str, TypeEngine[Any]] = {
    "id": String(255),
    "attempt": Integer(),
    "state": String(10),
    "outcome": String(11),
    "at": Moment(),
    "result": Text(),
}
# What counts plain successes on Postgres, in the statement that ends them.
_COUNTED: dict[str, TypeEngine[Any]] = {"writer": String(64), "kind": String(255)}
# What few have. Where no end of a group has any of it, these columns are neither sent nor written: that takes a third
# off what the database does for it.
_RARE: dict[str, TypeEngine[Any]] = {
    "failures": Integer(),
    "crashes": Integer(),
    "run_at": Moment(),
    "error_type": Text(),
    "error_message": Text(),
    "traceback": Text(),
    "exchange": Text(),
    "fingerprint": String(16),
}
_RARE_OF_ATTEMPTS = ("error_type", "error_message", "traceback", "exchange", "fingerprint")
_rare_of = attrgetter("failures", "crashes", "run_at", "failure", "exchange", "fingerprint")
_NONE_RARE = (0, 0, None, None, None, None)

_Key = tuple[str, int]


def record_finished(connection: Connection, finishes: Sequence[Finish]) -> list[Finished | None]:
    """End attempts. None where the fence refuses: the attempt was taken away meanwhile.

    A job whose cancellation was asked for ends `cancelled`, whatever its attempt came to.
    """
    by_key = {(finish.id, finish.attempt): finish for finish in finishes}
    is_plain = all(_rare_of(finish) == _NONE_RARE for finish in by_key.values())
    finished, traits = _end(connection, by_key, is_plain=is_plain)
    if traits:
        _follow(connection, by_key, finished, traits)
        _hand_over(connection, by_key, finished)
    late = [finish for key, finish in by_key.items() if key not in finished]
    repeated = _finished_before(connection, late) if late else {}
    told = [(finish, finished.get(key)) for key, finish in by_key.items() if key not in repeated]
    counts_itself = is_plain and connection.dialect.name == "postgresql"
    tally(connection, _events(told, but_successes=counts_itself), finishes[0].at)
    if failed := [(finish, of_it.state) for finish, of_it in told if finish.fingerprint and of_it is not None]:
        record_failures(connection, failed)
    ends = finished | repeated
    return [ends.get((finish.id, finish.attempt)) for finish in finishes]


# Which finishes took, by job and attempt; and the traits of the jobs that have any of `FOLLOWED`, in the same way.
_Ended = tuple[dict[_Key, Finished], dict[_Key, int]]


def _end(connection: Connection, by_key: Mapping[_Key, Finish], *, is_plain: bool) -> _Ended:
    """Change the jobs' rows, and write the attempts that ended by it."""
    if connection.dialect.name == "sqlite":
        return _end_in_sqlite(connection, by_key, is_plain=is_plain)
    # Whoever enqueues children locks their parents in this order, too.
    ends = [by_key[key] for key in sorted(by_key)]
    rows = [(*_row(end, is_plain=is_plain), *((end.worker, end.kind) if is_plain else ())) for end in ends]
    finished: dict[_Key, Finished] = {}
    followed: dict[_Key, int] = {}
    ended: Sequence[Sequence[Any]] = execute(connection, _finish_both(is_plain), packed(rows)).all()
    for job_id, number, state, run_at, queue, priority, traits in ended:
        finished[job_id, number] = Finished(_STATES[state], run_at, queue, priority)
        if traits & FOLLOWED:
            followed[job_id, number] = traits
    return finished, followed


def _end_in_sqlite(connection: Connection, by_key: Mapping[_Key, Finish], *, is_plain: bool) -> _Ended:
    """The same in three statements, whose results are one JSON text for the reason that `started._take_in_sqlite` has.

    Nobody else writes within the transaction: what is held by the first is what the second changes.
    """
    held = from_json(execute(connection, _held(), packed(by_key)).scalar_one())
    finished: dict[_Key, Finished] = {}
    followed: dict[_Key, int] = {}
    for job_id, number, cancelled, run_at, queue, priority, traits in held:
        finish = by_key[job_id, number]
        state = State.CANCELLED if cancelled else finish.state
        due = finish.run_at or datetime.fromisoformat(run_at)
        finished[job_id, number] = Finished(state, due, queue, priority)
        if traits & FOLLOWED:
            followed[job_id, number] = traits
    if finished:
        ended = packed(_row(by_key[key], is_plain=is_plain) for key in finished)
        execute(connection, _finish_jobs(is_plain), ended)
        execute(connection, _note_attempts(is_plain), ended)
    return finished, followed


def _follow(
    connection: Connection,
    by_key: Mapping[_Key, Finish],
    finished: dict[_Key, Finished],
    traits: Mapping[_Key, int],
) -> None:
    """Follow up what has ended; tell it with the first of the finishes that this is about."""
    ended = [
        Ended(key[0], by_key[key].kind, finished[key].state, of_it, by_key[key].outcome is not Outcome.INTERRUPTED)
        for key, of_it in traits.items()
    ]
    any_one = next(iter(by_key.values()))
    followed = record_ended(connection, ended, any_one.at, any_one.worker)
    first = next(iter(traits))
    finished[first] = finished[first]._replace(followed=followed)


def _hand_over(connection: Connection, by_key: Mapping[_Key, Finish], finished: dict[_Key, Finished]) -> None:
    """Begin what was released, if the worker of one of the finishes wishes it; tell it with this finish."""
    wishes = ((key, finish.hand_over) for key, finish in by_key.items() if finish.hand_over is not None)
    wishing, wish = next(wishes, (None, None))
    telling = next((key for key, of_it in finished.items() if of_it.followed.released), None)
    if wish is None or wishing not in finished or telling is None:
        return
    followed, started = record_handed_over(connection, wish, finished[telling].followed)
    finished[telling] = finished[telling]._replace(followed=followed)
    finished[wishing] = finished[wishing]._replace(handed_over=started)


def _events(told: Sequence[tuple[Finish, Finished | None]], *, but_successes: bool) -> Iterator[tuple[str, str, str]]:
    """Name what is counted: how a job ended or, where it goes on, why; or that the fence refused it."""
    for finish, finished in told:
        if finished is None:
            yield finish.worker, finish.kind, "refused"
        elif finished.state in TERMINAL:
            if not (but_successes and finished.state is _SUCCEEDED):
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


def _row(finish: Finish, *, is_plain: bool) -> tuple[Any, ...]:
    """Return the values of `_COMMON` and, unless it is plain, of `_RARE`."""
    at = moment_text(finish.at)
    common = (finish.id, finish.attempt, str(finish.state), str(finish.outcome), at, finish.result)
    if is_plain:
        return common
    failure = finish.failure
    return (
        *common,
        finish.failures,
        finish.crashes,
        None if finish.run_at is None else moment_text(finish.run_at),
        *((None, None, None) if failure is None else (failure.type, failure.message, failure.traceback)),
        finish.exchange,
        finish.fingerprint,
    )


# Statements that `execute` sends have no parameters but the rows.
_TERMINAL = [literal_column(f"'{state}'", String) for state in TERMINAL]
_CANCELLED, _CANCELLED_TOO = (literal_column(f"'{one}'", String) for one in (State.CANCELLED, Outcome.CANCELLED))
# `State(text)` takes ten times as long.
_STATES = {str(state): state for state in State}
_SUCCEEDED = State.SUCCEEDED
# What a success that missed its kind's SLO counts as, too.
LATE = "late"
_TAKEN = (jobs.c.id, jobs.c.attempt, jobs.c.state, jobs.c.run_at, jobs.c.queue, jobs.c.priority, jobs.c.traits)


def _unfold_in_sqlite(name: str, *, is_plain: bool) -> FromClause:
    return unfold_lists("sqlite", name, _COMMON if is_plain else _COMMON | _RARE)


def _is_held(dialect: str, finish: FromClause) -> ColumnElement[bool]:
    """Guard: the attempt runs, and is the job's latest."""
    return and_(found_by(dialect, jobs.c.id, finish.c.id), jobs.c.attempt == finish.c.attempt, state_is(State.RUNNING))


def _finish(dialect: str, finish: FromClause, *, is_plain: bool) -> Update:
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    return (
        update(jobs)
        .where(_is_held(dialect, finish))
        .values(
            state=case((cancelled, _CANCELLED), else_=finish.c.state),
            result=case((cancelled, null()), else_=finish.c.result),
            finished_at=case((cancelled | finish.c.state.in_(_TERMINAL), finish.c.at), else_=null()),
            **({"error_type": null(), "error_message": null()} if is_plain else _rare(finish)),
        )
    )


def _rare(finish: FromClause) -> dict[str, ColumnElement[Any]]:
    since = func.coalesce(jobs.c.due_since, jobs.c.run_at)
    return {
        "failures": jobs.c.failures + finish.c.failures,
        "crashes": jobs.c.crashes + finish.c.crashes,
        "run_at": func.coalesce(finish.c.run_at, jobs.c.run_at),
        "due_since": case((finish.c.run_at.is_not(None), since), else_=jobs.c.due_since),
        "fingerprint": func.coalesce(finish.c.fingerprint, jobs.c.fingerprint),
        "error_type": finish.c.error_type,
        "error_message": finish.c.error_message,
    }


def _attempt(job: Any, ended: Any, *, is_plain: bool) -> dict[str, ColumnElement[Any]]:
    """Return the columns of an attempt that has ended; while one runs, the job's own row says all there is to say."""
    rare = () if is_plain else _RARE_OF_ATTEMPTS
    return {
        "job_id": job.id,
        "number": job.attempt,
        "outcome": case((job.state == _CANCELLED, _CANCELLED_TOO), else_=ended.outcome),
        "worker": job.worker,
        "started_at": job.started_at,
        "finished_at": ended.at,
        **{name: ended[name] for name in rare},
    }


@cache
def _held() -> Any:
    """Read what this finish may end: the guard of `_finish`, and what it makes the job's next state of."""
    finish = unfold_lists("sqlite", "finish", {name: _COMMON[name] for name in ("id", "attempt")})
    cancelled = jobs.c.cancel_requested_at.is_not(None)
    told = func.json_array(
        jobs.c.id, jobs.c.attempt, cancelled, jobs.c.run_at, jobs.c.queue, jobs.c.priority, jobs.c.traits
    )
    return select(func.json_group_array(told)).join_from(finish, jobs, _is_held("sqlite", finish))


@cache
def _finish_jobs(is_plain: bool) -> Any:
    return _finish("sqlite", _unfold_in_sqlite("finish", is_plain=is_plain), is_plain=is_plain)


@cache
def _note_attempts(is_plain: bool) -> Any:
    ended = _unfold_in_sqlite("ended", is_plain=is_plain)
    columns = _attempt(jobs.c, ended.c, is_plain=is_plain)
    source = select(*columns.values()).join_from(ended, jobs, jobs.c.id == ended.c.id)
    return insert_for("sqlite")(attempts).from_select(list(columns), source).on_conflict_do_nothing()


@cache
def _finish_both(is_plain: bool) -> Any:
    """Change both tables, and count plain successes: each statement is a trip to the server.

    Nobody else counts this process' successes, so whoever holds their counter never waits for a second one. Other ends
    are counted last, since counters are locked until the commit.
    """
    finish = unfold_lists("postgresql", "finish", _COMMON | (_COUNTED if is_plain else _RARE))
    more = [finish.c[name] for name in (_COUNTED if is_plain else _RARE_OF_ATTEMPTS)]
    told = (jobs.c.worker, jobs.c.started_at, finish.c.outcome, finish.c.at, *more)
    done = _finish("postgresql", finish, is_plain=is_plain).returning(*_TAKEN, *told).cte("done")
    columns = _attempt(done.c, done.c, is_plain=is_plain)
    noted = insert_for("postgresql")(attempts).from_select(list(columns), select(*columns.values()))
    taken = select(*(done.c[column.name] for column in _TAKEN)).add_cte(noted.on_conflict_do_nothing().cte("noted"))
    return taken.add_cte(_counted(done).cte("counted")) if is_plain else taken


def _counted(done: FromClause) -> Any:
    succeeded = literal_column(f"'{State.SUCCEEDED}'", String)
    counts = select(done.c.writer, done.c.kind, succeeded, func.count(), func.max(done.c.at))
    successes = counts.where(done.c.state == succeeded).group_by(done.c.writer, done.c.kind)
    return add_up("postgresql", successes.order_by(done.c.writer, done.c.kind))
