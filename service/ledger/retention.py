"""What is past its retention, as conditions: the purge deletes by them, a dry run counts."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, exists, func, select

from service.flow_tables import flows
from service.ledger.flow_guards import is_settled
from service.ledger.guards import found_by_state
from service.ledger.states import TERMINAL
from service.operation_tables import operation_failures, operations
from service.schedule_tables import RUN_NOW
from service.tables import idempotency_keys, job_listing, jobs, tallies, ticks, workers

TALLIES_KEPT = timedelta(days=1)
# A worker that is late to see a tick come due must find that another has enqueued it.
_TICKS_KEPT = timedelta(days=1)


def ended_before(before: datetime) -> ColumnElement[bool]:
    """Ask for jobs that ended before then, and of whose edges nothing is to come any more."""
    return found_by_state(*TERMINAL) & (jobs.c.finished_at < before) & is_settled()


def is_over_and_empty(before: datetime) -> ColumnElement[bool]:
    """Ask for flows made before then whose jobs have all been deleted."""
    # A subquery for each of them: Postgres turned NOT EXISTS into a join that walks through the lists of all jobs.
    jobs_left = select(job_listing.c.job_id).where(job_listing.c.flow == flows.c.id, job_listing.c.flow.is_not(None))
    return (flows.c.created_at < before) & jobs_left.limit(1).scalar_subquery().is_(None)


def expired_rows(before: datetime, now: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return, for each table but those of jobs and flows, which of its rows have expired."""
    return [
        (ticks, _is_old_tick(min(before, now - _TICKS_KEPT), now)),
        (workers, workers.c.ended_at < before),
        (idempotency_keys, idempotency_keys.c.expires_at < now),
        (operation_failures, operation_failures.c.operation_id.in_(select(operations.c.id).where(_is_over(before)))),
        (operations, _is_over(before)),
    ]


def folds_into_totals(before: datetime) -> ColumnElement[bool]:
    """Ask for the counters of processes that have not counted since `before`, and the totals of earlier ones."""
    return (tallies.c.writer == "") | (tallies.c.updated_at < before)


def _is_over(before: datetime) -> ColumnElement[bool]:
    """Ask for operations that ended before then; by their creation, which comes first and has an index."""
    return (operations.c.created_at < before) & (operations.c.finished_at < before)


def _is_old_tick(before: datetime, now: datetime) -> ColumnElement[bool]:
    """A schedule's latest tick is kept for ever: it tells which ticks were missed since.

    A clock that was wrong may have left later ones, which tell nothing; nor does one that a user fired out of turn.
    """
    later = ticks.alias()
    is_in_turn = func.coalesce(later.c.reason, "") != RUN_NOW
    is_not_latest = exists().where(
        later.c.kind == ticks.c.kind, later.c.due_at > ticks.c.due_at, later.c.due_at <= now, is_in_turn
    )
    return (ticks.c.due_at < before) & is_not_latest
