"""Conditions on a row, as the guard of an UPDATE or as a way to an index for the planner."""

from datetime import datetime
from functools import cache

from sqlalchemy import ColumnElement, FromClause, String, exists, func, literal_column, select, text

from service.ledger.leases import SILENT_AFTER
from service.ledger.states import State
from service.tables import LIVE_SQL, Moment, jobs, workers

# Wrapped so that Postgres won't pick the `created_at` index for a condition that is nearly always true.
CREATED_AT: ColumnElement[datetime] = func.coalesce(jobs.c.created_at, jobs.c.run_at, type_=Moment())

# Which lanes a job is in, and what was sent with it.
IN_LANES = (jobs.c.lane, jobs.c.kind_lane, jobs.c.lane_limits)
# The name that a job counts under: its label, or else its kind.
COUNTED_AS: ColumnElement[str] = func.coalesce(jobs.c.label, jobs.c.kind)
# The columns for putting a job on the queue, in the order in which `worker/keeping/redispatch.py` unpacks them.
TO_DISPATCH = (
    jobs.c.id,
    jobs.c.attempt,
    jobs.c.kind,
    jobs.c.queue,
    jobs.c.run_at,
    jobs.c.arq_id,
    jobs.c.priority,
    *IN_LANES,
)


def state_is(*states: State) -> ColumnElement[bool]:
    """Guard on a row's state."""
    return unindexed(jobs.c.state).in_([literal_column(f"'{state}'", String) for state in states])


def unindexed(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text column in a form for which the planner considers no index, neither a plain nor a partial one.

    SQLite walked the index on state once for each JSON row (26 s for 1,000 rows), while the index on id takes 8 ms; and
    the index on kind (100 ms for 100 rows among 3,000). Postgres walked through all waiting jobs to find the 250 to
    start (60 ms instead of 8) as soon as the guard had the words of the partial index, which puts `|| ''` last.
    """
    return literal_column("''", String) + column


def found_by_state(*states: State, of: FromClause = jobs) -> ColumnElement[bool]:
    """Ask for rows in `states`, in exactly the words of the partial indexes in `service/tables.py`.

    A bound parameter does not match an index's predicate: in a generic plan, Postgres does not know its value. `of` is
    the table `jobs`, or an alias of it.
    """
    column = of.c.state + literal_column("''")
    literals: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return column == literals[0] if len(literals) == 1 else column.in_(literals)


@cache
def key_taken() -> ColumnElement[bool]:
    """Ask whether another live job holds the row's unique key.

    Uses the words of the partial index `jobs_unique_key`: with parameters instead of literals, SQLite does not see that
    the index fits, and walks through all live jobs for each row.
    """
    holders = jobs.alias("holders")
    holds = select(holders.c.id).where(
        holders.c.unique_key == jobs.c.unique_key, holders.c.unique_key.is_not(None), text(LIVE_SQL)
    )
    return exists(holds)


def is_silent(at: datetime) -> ColumnElement[bool]:
    """Ask for workers that have not ended, and have been silent for `SILENT_AFTER`."""
    return workers.c.ended_at.is_(None) & (workers.c.heartbeat_at < at - SILENT_AFTER)
