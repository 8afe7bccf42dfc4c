"""How much is past its retention."""

from datetime import datetime
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.flow_tables import flows
from service.ledger.retention import ended_before, expired_rows, is_over_and_empty
from service.tables import attempts, jobs


async def count_expired(connection: AsyncConnection, before: datetime, now: datetime) -> dict[str, int]:
    """Count, by table, the rows that a purge would delete."""
    old = select(jobs.c.id).where(ended_before(before))
    conditions = [
        (jobs, ended_before(before)),
        (attempts, attempts.c.job_id.in_(old)),
        (flows, is_over_and_empty(before)),
        *expired_rows(before, now),
    ]
    return {table.name: await _count(connection, table, condition) for table, condition in conditions}


async def _count(connection: AsyncConnection, table: Table, condition: Any) -> int:
    return (await connection.execute(select(func.count()).select_from(table).where(condition))).scalar_one()
