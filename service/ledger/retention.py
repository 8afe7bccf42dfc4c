"""What is past its retention, as conditions: the purge deletes by them, a dry run counts."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Table, exists

from service.ledger.guards import found_by_state
from service.ledger.states import TERMINAL
from service.tables import idempotency_keys, jobs, tallies, ticks, workers

TALLIES_KEPT = timedelta(days=1)
# A worker that is late to see a tick come due must find that another has enqueued it.
_TICKS_KEPT = timedelta(days=1)


def ended_before(before: datetime) -> ColumnElement[bool]:
    """Ask for jobs that ended before then."""
    return found_by_state(*TERMINAL) & (jobs.c.finished_at < before)


def expired_rows(before: datetime, now: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return, for each table but that of jobs, which of its rows have expired."""
    return [
        (ticks, _is_old_tick(min(before, now - _TICKS_KEPT), now)),
        (workers, workers.c.ended_at < before),
        (idempotency_keys, idempotency_keys.c.expires_at < now),
    ]


def folds_into_totals(before: datetime) -> ColumnElement[bool]:
    """Ask for the counters of processes that have not counted since `before`, and the totals of earlier ones."""
    return (tallies.c.writer == "") | (tallies.c.updated_at < before)


def _is_old_tick(before: datetime, now: datetime) -> ColumnElement[bool]:
    """A kind's latest tick is kept for ever: it tells which ticks were missed since.

    A clock that was wrong may have left later ones, which tell nothing.
    """
    later = ticks.alias()
    is_not_latest = exists().where(later.c.kind == ticks.c.kind, later.c.due_at > ticks.c.due_at, later.c.due_at <= now)
    return (ticks.c.due_at < before) & is_not_latest
