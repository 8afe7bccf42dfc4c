"""A cron tick: recorded once, in the same transaction as its job, however many workers see it come due."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.models import NewJob
from service.ledger.records.enqueued import insert_jobs
from service.ledger.records.tallied import tally
from service.ledger.rows import insert_for
from service.tables import ticks


def record_tick(connection: Connection, kind: str, due_at: datetime, job: NewJob, *, cron: str, writer: str) -> bool:
    """Record the tick of `kind` at `due_at`, one of its expression `cron`, with its job; False when it is there."""
    statement = insert_for(connection.dialect.name)(ticks).values(kind=kind, due_at=due_at, cron=cron, job_id=job.id)
    won = connection.execute(statement.on_conflict_do_nothing().returning(ticks.c.kind)).first()
    if won is None:
        return False
    insert_jobs(connection, [job])
    tally(connection, [(writer, kind, "enqueued")], job.created_at)
    return True


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
