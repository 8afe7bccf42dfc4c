"""Failures are counted by their groups, in the transaction that records them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, literal_column, select, true

from service.figure_tables import failure_counts, failure_groups
from service.ledger.failure import Failure
from service.ledger.fingerprint import fingerprint_of
from service.ledger.models import Finish, NewJob
from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.ledger.states import Outcome, State
from service.tables import moment_text

SEVERAL = "*"
# As much as a list has room for: the attempt has the whole failure.
_LONGEST_MESSAGE = 500


def record_failures(connection: Connection, failed: Sequence[tuple[Finish, State]]) -> None:
    """Count failed attempts, with the states that their jobs went to, by group and minute.

    Each process writes rows of its own, so it never waits for other writers of the same group. An attempt whose job was
    cancelled counts as cancelled.
    """
    counted = [(finish, state) for finish, state in failed if state is not State.CANCELLED]
    if not counted:
        return
    dialect = connection.dialect.name
    execute(connection, _note_groups(dialect), packed(_groups(finish for finish, _ in counted).values()))
    execute(connection, _count(dialect), packed(_counts(counted).values()))


def record_refused_jobs(connection: Connection, writer: str, created: Sequence[NewJob]) -> None:
    """Count new jobs that are recorded as failed because what was asked for is refused: no attempt will count them."""
    record_failures(connection, [(_end_of(job, writer), State.FAILED) for job in created if job.state is State.FAILED])


def group_of(job: NewJob) -> str | None:
    """Name the group of a new job that is recorded as failed; None for all others."""
    return fingerprint_of(job.counted_as, _failure_of(job)) if job.state is State.FAILED else None


def minute_of(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _end_of(job: NewJob, writer: str) -> Finish:
    return Finish(
        id=job.id,
        kind=job.counted_as,
        attempt=0,
        worker=writer,
        outcome=Outcome.FAILED,
        state=State.FAILED,
        at=job.finished_at or job.created_at,
        failure=_failure_of(job),
        fingerprint=group_of(job),
        destination=job.kind_lane,
    )


def _failure_of(job: NewJob) -> Failure:
    return Failure(job.error_type or "", job.error_message or "")


def _groups(finishes: Iterable[Finish]) -> Mapping[str, Sequence[Any]]:
    rows: dict[str, Sequence[Any]] = {}
    for finish in finishes:
        failure = finish.failure
        assert finish.fingerprint is not None
        assert failure is not None
        place, message = failure.place and failure.place.line, failure.message[:_LONGEST_MESSAGE]
        told = (finish.kind, failure.type, place, message, moment_text(finish.at))
        rows.setdefault(finish.fingerprint, (finish.fingerprint, finish.worker, *told))
    return rows


def _counts(counted: Sequence[tuple[Finish, State]]) -> Mapping[Any, list[Any]]:
    rows: dict[Any, list[Any]] = {}
    for finish, state in counted:
        minute, latest_at = moment_text(minute_of(finish.at)), moment_text(finish.at)
        key = (minute, finish.fingerprint, finish.worker)
        row = rows.setdefault(key, [*key, 0, 0, latest_at, finish.destination])
        row[3] += 1
        row[4] += state is State.FAILED
        row[5] = max(row[5], latest_at)
        row[6] = row[6] if row[6] == finish.destination else SEVERAL
    return rows


@cache
def _note_groups(dialect: str) -> Any:
    columns = {column.name: column.type for column in failure_groups.c}
    told = unfold_lists(dialect, "told", columns)
    statement = insert_for(dialect)(failure_groups).from_select(list(columns), select(told).where(true()))
    return statement.on_conflict_do_nothing()


@cache
def _count(dialect: str) -> Any:
    columns = {column.name: column.type for column in failure_counts.c}
    told, counts = unfold_lists(dialect, "told", columns), failure_counts.c
    statement = insert_for(dialect)(failure_counts).from_select(list(columns), select(told).where(true()))
    new = statement.excluded
    same = (new.destination == counts.destination) | (new.destination.is_(None) & counts.destination.is_(None))
    return statement.on_conflict_do_update(
        index_elements=list(failure_counts.primary_key.columns),
        set_={
            "failures": counts.failures + new.failures,
            "jobs_failed": counts.jobs_failed + new.jobs_failed,
            "latest_at": case((new.latest_at > counts.latest_at, new.latest_at), else_=counts.latest_at),
            "destination": case((same, counts.destination), else_=literal_column(f"'{SEVERAL}'")),
        },
    )
