"""Writes to the counters."""

from sqlalchemy import Connection

from jobs.stats.counters import Count
from service.ledger.rows import insert_for
from service.stats.tables import counted_jobs, counters


def record_counted(connection: Connection, job_id: str, count: Count) -> bool:
    """Add to a counter, and return True, unless the job was counted before."""
    insert = insert_for(connection.dialect.name)
    claim = insert(counted_jobs).values(job_id=job_id).on_conflict_do_nothing().returning(counted_jobs.c.job_id)
    if connection.execute(claim).first() is None:
        return False
    statement = insert(counters).values(subject=count.subject, event=count.event, count=count.number)
    total = counters.c["count"] + statement.excluded["count"]
    connection.execute(statement.on_conflict_do_update(index_elements=["subject", "event"], set_={"count": total}))
    return True
