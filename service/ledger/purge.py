"""Deletes what is past its retention, batch after batch."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from service.ledger.database import Database
from service.ledger.reads.retention import count_expired
from service.ledger.records.flows import record_flows_purged
from service.ledger.records.purged import (
    PURGE_BATCH,
    PurgeOfJobs,
    record_jobs_purged,
    record_rows_purged,
    record_tallies_folded,
)
from service.ledger.retention import TALLIES_KEPT, expired_rows


async def purge(
    database: Database, *, older_than: timedelta, dry_run: bool, belongings: Sequence[PurgeOfJobs] = ()
) -> dict[str, int]:
    """Delete terminal jobs with all that belongs to them, flows without jobs, ended operations, ticks and ended workers
    older than `older_than`, and idempotency keys that have expired. The latest tick of each schedule stays.

    Return the number of rows by table; with `dry_run` nothing is deleted.
    """
    async with database.connect() as connection:
        now = await database.now(connection)
        before = now - older_than
        if dry_run:
            return await count_expired(connection, before, now)
    deleted = await _purge_jobs(database, before, belongings)
    deleted["flows"] = await _purge_flows(database, before)
    deleted |= await _purge_rows(database, before, now)
    await database.run(partial(record_tallies_folded, before=now - TALLIES_KEPT))
    return deleted


async def _purge_jobs(database: Database, before: datetime, belongings: Sequence[PurgeOfJobs]) -> dict[str, int]:
    deleted = {"jobs": 0, "attempts": 0}
    while gone := await database.run(partial(record_jobs_purged, before=before, belongings=belongings)):
        for table, rows in gone.items():
            deleted[table] += rows
    return deleted


async def _purge_flows(database: Database, before: datetime) -> int:
    deleted = 0
    while gone := await database.run(partial(record_flows_purged, before=before, limit=PURGE_BATCH)):
        deleted += gone
    return deleted


async def _purge_rows(database: Database, before: datetime, now: datetime) -> dict[str, int]:
    deleted = {}
    for table, expired in expired_rows(before, now):
        deleted[table.name] = gone = await database.run(partial(record_rows_purged, table=table, expired=expired))
        while gone == PURGE_BATCH:
            gone = await database.run(partial(record_rows_purged, table=table, expired=expired))
            deleted[table.name] += gone
    return deleted
