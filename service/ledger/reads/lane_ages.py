"""How long jobs have waited in lanes, and how fast new ones arrive. Reads are bounded."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, bindparam, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.guards import state_is
from service.ledger.reads.lanes import lives_in
from service.ledger.rows import parameter, unfold
from service.ledger.states import WAITING
from service.tables import Moment, job_listing, jobs

# Only the first jobs of each lane are read: the others came later.
_FIRST = 100
MOST_ARRIVALS = 10_000


async def oldest_in_lanes(connection: AsyncConnection, keys: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Return since when the oldest waiting job of each lane has been due; lanes without any are left out."""
    named = unfold(connection.dialect.name, "named", {"key": String(255)})
    oldest: dict[str, datetime] = {}
    for column in (jobs.c.lane, jobs.c.kind_lane):
        first = (
            select(jobs.c.run_at)
            .where(lives_in(column, named.c.key), state_is(*WAITING))
            .order_by(jobs.c.lane_seq)
            .limit(_FIRST)
            .correlate(named)
            .subquery()
        )
        due = first.c.run_at <= bindparam("now", type_=Moment)
        since = select(func.min(first.c.run_at, type_=Moment())).where(due).correlate(named).scalar_subquery()
        told = parameter([{"key": key} for key in keys]) | {"now": now}
        for key, at in await connection.execute(select(named.c.key, since), told):
            if at is not None:
                oldest[key] = min(at, oldest.get(key, at))
    return oldest


async def count_arrivals(connection: AsyncConnection, key: str, since: datetime) -> int:
    """Count the jobs that were enqueued into a lane since then; `MOST_ARRIVALS` at most."""
    arrived = 0
    for column in (job_listing.c.lane, job_listing.c.kind_lane):
        newest = (
            select(literal(1))
            .where(column == key, column.is_not(None), job_listing.c.created_at > since)
            .limit(MOST_ARRIVALS)
        )
        arrived += (await connection.execute(select(func.count()).select_from(newest.subquery()))).scalar_one()
    return min(arrived, MOST_ARRIVALS)


async def first_waiting(connection: AsyncConnection, key: str, limit: int) -> list[str]:
    """Return the ids of the waiting jobs in a lane whose turns come first."""
    found: list[tuple[int, str]] = []
    for column in (jobs.c.lane, jobs.c.kind_lane):
        waiting = select(jobs.c.lane_seq, jobs.c.id).where(lives_in(column, key), state_is(*WAITING))
        rows = await connection.execute(waiting.order_by(jobs.c.lane_seq).limit(limit))
        found += [(seq, job_id) for seq, job_id in rows]
    return [job_id for _, job_id in sorted(found)[:limit]]
