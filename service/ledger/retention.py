"""Conditions for rows past their retention: the purge deletes by them, a dry run counts."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, exists, func, or_, select

from service.figure_tables import lane_holds
from service.flow_tables import flows
from service.ledger.flow_guards import is_settled
from service.ledger.guards import found_by_state, state_is
from service.ledger.states import TERMINAL, State
from service.operation_tables import operation_failures, operation_members, operations
from service.schedule_tables import RUN_NOW
from service.tables import idempotency_keys, job_listing, jobs, tallies, ticks, workers

TALLIES_KEPT = timedelta(days=1)
# A worker that sees a tick come due late must find that another worker has enqueued it.
_TICKS_KEPT = timedelta(days=1)


def ended_before(before: datetime, failed_before: datetime) -> ColumnElement[bool]:
    """Ask for jobs with settled edges that ended before then; failed ones before another time."""
    is_failed = found_by_state(State.FAILED) & (jobs.c.finished_at < failed_before)
    is_other = found_by_state(*TERMINAL) & ~state_is(State.FAILED) & (jobs.c.finished_at < before)
    return or_(is_failed, is_other) & is_settled()


def is_over_and_empty(before: datetime) -> ColumnElement[bool]:
    """Ask for flows made before then whose jobs have all been deleted."""
    # A subquery for each flow: Postgres turned NOT EXISTS into a join that walks through the listings of all jobs.
    jobs_left = select(job_listing.c.job_id).where(job_listing.c.flow == flows.c.id, job_listing.c.flow.is_not(None))
    return (flows.c.created_at < before) & jobs_left.limit(1).scalar_subquery().is_(None)


def expired_rows(before: datetime, now: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return which rows have expired, for each table except those of jobs and flows."""
    over = select(operations.c.id).where(_is_over(before))
    return [
        (ticks, _is_old_tick(min(before, now - _TICKS_KEPT), now)),
        (workers, workers.c.ended_at < before),
        (lane_holds, lane_holds.c.over_at < before),
        (idempotency_keys, idempotency_keys.c.expires_at < now),
        *((table, table.c.operation_id.in_(over)) for table in (operation_failures, operation_members)),
        (operations, _is_over(before)),
    ]


def folds_into_totals(before: datetime) -> ColumnElement[bool]:
    """Ask for the counters of processes that have not counted since `before`, and the totals of earlier processes."""
    return (tallies.c.writer == "") | (tallies.c.updated_at < before)


def _is_over(before: datetime) -> ColumnElement[bool]:
    """Ask for operations that ended before then, found by creation time, which is earlier and has an index."""
    return (operations.c.created_at < before) & (operations.c.finished_at < before)


def _is_old_tick(before: datetime, now: datetime) -> ColumnElement[bool]:
    """A schedule's latest tick is kept for ever: it tells which later ticks were missed.

    Ticks in the future, left by a wrong clock, do not count, nor do ticks that a user fired out of turn.
    """
    later = ticks.alias()
    is_in_turn = func.coalesce(later.c.reason, "") != RUN_NOW
    is_not_latest = exists().where(
        later.c.kind == ticks.c.kind, later.c.due_at > ticks.c.due_at, later.c.due_at <= now, is_in_turn
    )
    return (ticks.c.due_at < before) & is_not_latest
