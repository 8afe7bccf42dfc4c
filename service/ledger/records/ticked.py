"""A cron tick: recorded once, in the same transaction as its job, however many workers see it come due."""

from datetime import datetime

from sqlalchemy import Connection

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
