"""Which ticks of cron kinds were recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.tables import ticks


async def latest_ticks(
    connection: AsyncConnection, kinds: Sequence[str], at: datetime
) -> Mapping[str, tuple[datetime, str]]:
    """Return (due_at, cron) of each kind's latest tick up to `at`: a clock that was wrong may have left later ones."""
    latest = (
        select(ticks.c.kind, func.max(ticks.c.due_at).label("due_at"))
        .where(ticks.c.kind.in_(kinds), ticks.c.due_at <= at)
        .group_by(ticks.c.kind)
        .subquery()
    )
    same = (ticks.c.kind == latest.c.kind) & (ticks.c.due_at == latest.c.due_at)
    rows = await connection.execute(select(ticks.c.kind, ticks.c.due_at, ticks.c.cron).join(latest, same))
    return {row.kind: (row.due_at, row.cron) for row in rows}
