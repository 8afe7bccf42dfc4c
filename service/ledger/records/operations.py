"""Operations are accepted, begun, counted, carried out page by page, stopped and ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, delete, exists, func, insert, literal, select, true, update

from service.ledger.guards import unindexed
from service.ledger.models import NOTHING_FOLLOWED, Followed, NewJob
from service.ledger.operations import (
    BROKEN_OFF,
    LIVE_OPERATION,
    MOST_FAILURES_KEPT,
    Against,
    NewOperation,
    Operation,
    OperationState,
    Place,
    written_place,
)
from service.ledger.reads.operations import one_operation, operation_of
from service.ledger.records.cancelled import Cancel, record_cancelled
from service.ledger.records.inserted import insert_jobs
from service.ledger.records.tallied import tally
from service.ledger.rows import execute, ids_parameter, insert_for, is_one_of, packed, unfold_lists
from service.operation_tables import operation_failures, operation_members, operations
from service.tables import Moment, jobs

# Changes members in a page's transaction; returns the failures, by the member's id.
ChangeMembers = Callable[[Connection], Mapping[str, Against]]
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """The ids of members between two places of an operation's cursor; it has already failed on those in `against`."""

    operation_id: str
    before: Place | None
    after: Place | None
    is_last: bool
    members: Sequence[str]
    against: Mapping[str, Against]


def record_operation(connection: Connection, new: NewOperation, job: NewJob | None, writer: str) -> None:
    """Record an operation with the job that carries it out. Safe to repeat."""
    values = asdict(new) | {"dry_run": int(new.dry_run)}
    statement = insert_for(connection.dialect.name)(operations).values(values)
    connection.execute(statement.on_conflict_do_nothing())
    if job is not None:
        _insert_job(connection, job, writer)


def record_handed_over(connection: Connection, operation_id: str, job: NewJob, writer: str, at: datetime) -> bool:
    """Give a job to an operation that nobody carries out, so that it goes on; return False if it has one."""
    is_alone = (operations.c.job_id.is_(None), operations.c.runner_until <= at)
    if not _update_live(connection, operation_id, *is_alone, job_id=job.id, state=OperationState.COUNTING):
        return False
    _insert_job(connection, job, writer)
    return True


def record_taken_over(connection: Connection, operation_id: str, at: datetime, until: datetime) -> bool:
    """Let the caller carry out an operation `until` then, unless it has a job or another caller does."""
    is_alone = (operations.c.job_id.is_(None), operations.c.runner_until <= at)
    return _update_live(connection, operation_id, *is_alone, runner_until=until)


def record_let_go(connection: Connection, operation_id: str, at: datetime) -> bool:
    """Leave an operation to others, because the process that accepted it has no more time."""
    return _update_live(connection, operation_id, operations.c.job_id.is_(None), runner_until=at)


def record_begun(connection: Connection, operation_id: str, job_id: str) -> Operation | None:
    """Return the operation of this job's attempt, set going again if it may go on; None if the job has none.

    An interrupted operation goes on if somebody has replayed its job. A dry run starts again.
    """
    operation = _locked(connection, operation_id)
    if operation is None or operation.job_id != job_id:
        return None
    # A job that was asked to end has not been replayed: its operation has just been stopped.
    is_replayed = select(exists().where(jobs.c.id == job_id, jobs.c.cancel_requested_at.is_(None)))
    is_over = operation.state is OperationState.SUCCEEDED
    if is_over or (operation.state in BROKEN_OFF and not connection.execute(is_replayed).scalar_one()):
        return operation
    begins = operation.started_at is None or operation.dry_run
    state = OperationState.COUNTING if begins or operation.state is OperationState.COUNTING else OperationState.RUNNING
    values: dict[str, Any] = {"state": state, "finished_at": None, "error": None}
    if operation.dry_run:
        values |= {"matched": 0, "done": 0, "failed": 0, "skipped": "{}", "cursor": None, "started_at": None}
        values |= {"paced_at": None, "paced_from": 0}
        connection.execute(delete(operation_failures).where(operation_failures.c.operation_id == operation_id))
    connection.execute(update(operations).where(operations.c.id == operation_id).values(values))
    return _locked(connection, operation_id)


def record_counted(connection: Connection, operation_id: str, matched: int, at: datetime, *, is_all: bool) -> bool:
    """Note how many members were counted so far, or in all; return False if it is no longer being counted."""
    values: dict[str, Any] = {"matched": matched}
    if is_all:
        dealt_with = operations.c.done + operations.c.failed
        values |= {
            "state": OperationState.RUNNING,
            "started_at": func.coalesce(operations.c.started_at, literal(at, Moment)),
        }
        values |= {"paced_at": at, "paced_from": dealt_with}
    return _update_live(connection, operation_id, operations.c.state == OperationState.COUNTING, **values)


def record_rate(connection: Connection, operation_id: str, rate: float | None, at: datetime) -> Operation | None:
    """Change the rate of a live operation from now on. None if there is no such operation; check its state."""
    operation = _locked(connection, operation_id)
    if operation is None or operation.rate == rate:
        return operation
    _update_live(connection, operation_id, rate=rate, paced_at=at, paced_from=operation.dealt_with)
    return _locked(connection, operation_id)


def record_page(connection: Connection, page: Page, change: ChangeMembers, at: datetime) -> Operation | None:
    """Change a page's members, count them and move the cursor: all or nothing.

    Returns None and changes nothing if the cursor is not at the page's beginning, or the operation was stopped.
    """
    operation = _locked(connection, page.operation_id)
    if operation is None or operation.state != OperationState.RUNNING or operation.cursor != page.before:
        return None
    against = {**page.against, **change(connection)}
    _keep_failures(connection, operation, against)
    if operation.action == "replay" and not operation.dry_run:
        _keep_members(connection, operation, [one for one in page.members if one not in against])
    skipped = dict(operation.skipped)
    for reason, _ in against.values():
        skipped[reason] = skipped.get(reason, 0) + 1
    done, failed = operation.done + len(page.members) - len(against), operation.failed + len(against)
    values: dict[str, Any] = {
        "done": done,
        "failed": failed,
        "skipped": to_json(skipped).decode(),
        "matched": max(operation.matched, done + failed),
        "cursor": written_place(page.after),
    }
    if page.is_last:
        values |= {"state": OperationState.SUCCEEDED, "finished_at": at}
    connection.execute(update(operations).where(operations.c.id == page.operation_id).values(values))
    return _locked(connection, page.operation_id)


def states_now(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Lock jobs until the transaction ends; return the states of the ones that exist."""
    if not ids:
        return {}
    dialect = connection.dialect.name
    found = connection.execute(_lock_states(dialect), ids_parameter(dialect, ids)).all()
    return {job_id: state for job_id, state in found}  # noqa: C416 - mypy does not accept rows as pairs


def are_all_in(connection: Connection, ids: Sequence[str], states: Sequence[str]) -> bool:
    """Lock jobs until the transaction ends; return whether all of them are in these states.

    Nearly always they are, and one number tells, while `states_now` reads a row for each.
    """
    dialect = connection.dialect.name
    parameters = {**ids_parameter(dialect, ids), **ids_parameter(dialect, states, "states")}
    return bool(connection.execute(_lock_and_count(dialect), parameters).scalar_one() == len(ids))


@cache
def _lock_states(dialect: str) -> Any:
    wanted = select(jobs.c.id, jobs.c.state).where(is_one_of(dialect, jobs.c.id))
    return wanted.order_by(jobs.c.id).with_for_update()


@cache
def _lock_and_count(dialect: str) -> Any:
    found = _lock_states(dialect).cte("found")
    return select(func.count()).select_from(found).where(is_one_of(dialect, unindexed(found.c.state), "states"))


# The stopped operation, and what follows from the end of its job.
Stopped = tuple[Operation | None, Followed]


def record_stopped(connection: Connection, operation_id: str, writer: str, at: datetime) -> Stopped:
    """Stop a live operation, and cancel its job. None if there is no such operation; check its state."""
    # Locked in the same order as by a cancel of the job, so that the two do not deadlock.
    job_id = select(operations.c.job_id).where(operations.c.id == operation_id).scalar_subquery()
    connection.execute(select(jobs.c.id).where(jobs.c.id == job_id).with_for_update())
    stopped = _update_live(connection, operation_id, state=OperationState.STOPPED, finished_at=at)
    operation = _locked(connection, operation_id)
    if stopped and operation is not None and operation.job_id is not None:
        [cancelled] = record_cancelled(connection, [Cancel(operation.job_id, writer, at)])
        return operation, NOTHING_FOLLOWED if cancelled is None else cancelled.followed
    return operation, NOTHING_FOLLOWED


def record_broken_off(
    connection: Connection, operation_id: str, state: OperationState, error: str | None, at: datetime
) -> bool:
    """End a live operation that cannot go on."""
    return _update_live(connection, operation_id, state=state, error=error, finished_at=at)


def _locked(connection: Connection, operation_id: str) -> Operation | None:
    """Read and lock an operation until the transaction ends."""
    row = connection.execute(one_operation(operation_id).with_for_update()).first()
    return None if row is None else operation_of(row)


def _keep_failures(connection: Connection, operation: Operation, against: Mapping[str, Against]) -> None:
    room = max(0, MOST_FAILURES_KEPT - operation.failed)
    rows = [
        {"operation_id": operation.id, "job_id": job_id, "reason": reason, "message": message[:_LONGEST_MESSAGE]}
        for job_id, (reason, message) in list(against.items())[:room]
    ]
    if rows:
        connection.execute(insert(operation_failures), rows)


def _keep_members(connection: Connection, operation: Operation, ids: Sequence[str]) -> None:
    if ids:
        execute(connection, _insert_members(connection.dialect.name), packed((operation.id, one) for one in ids))


@cache
def _insert_members(dialect: str) -> Any:
    member = unfold_lists(dialect, "member", {column.name: column.type for column in operation_members.c})
    statement = insert_for(dialect)(operation_members).from_select(member.c.keys(), select(member).where(true()))
    return statement.on_conflict_do_nothing()


def _insert_job(connection: Connection, job: NewJob, writer: str) -> None:
    _, created = insert_jobs(connection, [job])
    tally(connection, ((writer, one.counted_as, "enqueued") for one in created), job.created_at)


def _update_live(connection: Connection, operation_id: str, *guards: Any, **values: Any) -> bool:
    statement = update(operations).where(
        operations.c.id == operation_id, operations.c.state.in_(LIVE_OPERATION), *guards
    )
    return connection.execute(statement.values(values)).rowcount == 1
