"""How statements ask for what must be true of a row: as a guard in an UPDATE, or as a way in for the planner."""

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
# What a job counts as where kinds are counted or named.
COUNTED_AS: ColumnElement[str] = func.coalesce(jobs.c.label, jobs.c.kind)
# What putting a job on the queue needs, in the order in which `worker/keeping/redispatch.py` unpacks it.
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
    """Return a text column without offering any index to the planner: not one on the column, nor a partial one.

    SQLite walked the index on state once for each JSON row (26 s for 1,000 rows) where the id's index takes 8 ms; and
    that on kind (100 ms for 100 rows, among 3,000). Postgres walked through all that waits to find the 250 jobs to
    start (60 ms instead of 8) as soon as the guard was in the partial index's words, which have `|| ''` behind.
    """
    return literal_column("''", String) + column


def found_by_state(*states: State, of: FromClause = jobs) -> ColumnElement[bool]:
    """Ask for rows in `states` in the very words of the partial indexes in `service/tables.py`.

    A bound parameter does not match an index's predicate: Postgres cannot know its value when it plans for any. `of` is
    the table `jobs`, or an alias of it.
    """
    column = of.c.state + literal_column("''")
    literals: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in states]
    return column == literals[0] if len(literals) == 1 else column.in_(literals)


@cache
def key_taken() -> ColumnElement[bool]:
    """Ask whether another live job holds the row's unique key.

    In the words of the partial index `jobs_unique_key`: with parameters instead of literals SQLite does not see that
    it fits, and walks through all live jobs for each row.
    """
    holders = jobs.alias("holders")
    holds = select(holders.c.id).where(
        holders.c.unique_key == jobs.c.unique_key, holders.c.unique_key.is_not(None), text(LIVE_SQL)
    )
    return exists(holds)


def is_silent(at: datetime) -> ColumnElement[bool]:
    """Ask for workers that have not ended, and were not heard of for `SILENT_AFTER`."""
    return workers.c.ended_at.is_(None) & (workers.c.heartbeat_at < at - SILENT_AFTER)
