"""How many jobs were started in lanes lately, and when breakers last held them."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.figure_tables import lane_holds, lane_starts
from service.ledger.records.durations import bucket_of


class Hold(NamedTuple):
    """The time during which a breaker held its lane; `over_at` is None while it does."""

    held_at: datetime
    over_at: datetime | None
    reason: str | None


async def starts_in_lanes(connection: AsyncConnection, keys: Collection[str], since: datetime) -> dict[str, int]:
    """Return how many jobs of each lane were started since then, rounded down to five minutes."""
    found = select(lane_starts.c.lane, func.sum(lane_starts.c.started)).where(
        lane_starts.c.lane.in_(keys), lane_starts.c.bucket_at >= bucket_of(since)
    )
    return {lane: int(started) for lane, started in await connection.execute(found.group_by(lane_starts.c.lane))}


async def last_hold(connection: AsyncConnection, key: str) -> Hold | None:
    """Return when a lane's breaker last held it, if that is still known."""
    row = (await connection.execute(select(lane_holds).where(lane_holds.c.key == key))).first()
    return None if row is None else Hold(row.held_at, row.over_at, row.reason)
