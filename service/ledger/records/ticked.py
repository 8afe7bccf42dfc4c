"""A cron tick: recorded once, in the same transaction as its job, however many workers see it come due."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.models import NewJob
from service.ledger.records.enqueued import insert_jobs
from service.ledger.records.tallied import tally
from service.ledger.rows import insert_for
from service.tables import ticks


async def record_tick(connection: AsyncConnection, kind: str, due_at: datetime, job: NewJob, writer: str) -> bool:
    """Record the tick of `kind` at `due_at` with its job; False when it is recorded already."""
    statement = insert_for(connection.dialect.name)(ticks).values(kind=kind, due_at=due_at, job_id=job.id)
    won = (await connection.execute(statement.on_conflict_do_nothing().returning(ticks.c.kind))).first()
    if won is None:
        return False
    await insert_jobs(connection, [job])
    await tally(connection, [(writer, kind, "enqueued")], job.created_at)
    return True
