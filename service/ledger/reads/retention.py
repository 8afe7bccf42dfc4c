"""How much is past its retention."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Table, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import flows
from service.ledger.flow_guards import is_settled
from service.ledger.guards import found_by_state, state_is
from service.ledger.retention import ended_before, expired_rows, is_over_and_empty
from service.ledger.states import TERMINAL, State
from service.tables import attempts, jobs


class Ended(NamedTuple):
    """A job that has ended, and whether it may be deleted."""

    id: str
    finished_at: datetime
    is_old: bool


async def oldest_ends(
    connection: AsyncConnection, before: datetime, after: tuple[datetime, str] | None, limit: int, *, failed: bool
) -> Sequence[Ended]:
    """Go on through ended jobs from (time, id): failed ones, or all.

    Ordered by end: without an order, Postgres may expect that a scan of all jobs finds them soon.
    """
    is_old = is_settled() if failed else is_settled() & ~state_is(State.FAILED)
    ends = found_by_state(State.FAILED) if failed else found_by_state(*TERMINAL)
    found = select(jobs.c.id, jobs.c.finished_at, case((is_old, 1), else_=0)).where(ends, jobs.c.finished_at < before)
    if after is not None:
        at, job_id = after
        found = found.where(jobs.c.finished_at >= at, (jobs.c.finished_at > at) | (jobs.c.id > job_id))
    rows = await connection.execute(found.order_by(jobs.c.finished_at, jobs.c.id).limit(limit))
    return [Ended(job_id, finished_at, bool(old)) for job_id, finished_at, old in rows]


async def count_expired(
    connection: AsyncConnection, before: datetime, failed_before: datetime, now: datetime
) -> dict[str, int]:
    """Count, by table, the rows that a purge would delete."""
    old = select(jobs.c.id).where(ended_before(before, failed_before))
    conditions = [
        (jobs, ended_before(before, failed_before)),
        (attempts, attempts.c.job_id.in_(old)),
        (flows, is_over_and_empty(before)),
        *expired_rows(before, now),
    ]
    return {table.name: await _count(connection, table, condition) for table, condition in conditions}


async def _count(connection: AsyncConnection, table: Table, condition: Any) -> int:
    return (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one()
