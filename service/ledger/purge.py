"""Deletes what is past its retention, batch after batch."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from service.ledger.database import Database
from service.ledger.reads.retention import count_expired, oldest_ends
from service.ledger.records.flows import record_flows_purged
from service.ledger.records.purged import (
    PURGE_BATCH,
    PurgeOfJobs,
    delete_jobs,
    record_rows_purged,
    record_tallies_folded,
)
from service.ledger.retention import TALLIES_KEPT, expired_rows


async def purge(
    database: Database,
    older_than: timedelta,
    failed_older_than: timedelta,
    *,
    dry_run: bool,
    belongings: Sequence[PurgeOfJobs] = (),
) -> dict[str, int]:
    """Delete terminal jobs with everything that belongs to them, flows without jobs, ended operations, ticks and ended
    workers older than `older_than`, and expired idempotency keys. The latest tick of each schedule stays.

    Failed jobs are deleted after `failed_older_than`. Return the number of rows by table; with `dry_run` nothing is
    deleted.
    """
    async with database.connect() as connection:
        now = await database.now(connection)
        before, failed_before = now - older_than, now - failed_older_than
        if dry_run:
            return await count_expired(connection, before, failed_before, now)
    deleted = await purge_jobs(database, before, failed_before, belongings)
    deleted["flows"] = await _purge_flows(database, before)
    deleted |= await _purge_rows(database, before, now)
    await database.run(partial(record_tallies_folded, before=now - TALLIES_KEPT))
    return deleted


async def purge_jobs(
    database: Database, before: datetime, failed_before: datetime, belongings: Sequence[PurgeOfJobs]
) -> dict[str, int]:
    """Go through ended jobs, oldest end first, skipping failed ones that are kept for longer."""
    deleted = {"jobs": 0, "attempts": 0}
    for failed, ended_before in ((True, failed_before), (False, before)):
        reached: tuple[datetime, str] | None = None
        while True:
            async with database.connect() as connection:
                ended = await oldest_ends(connection, ended_before, reached, PURGE_BATCH, failed=failed)
            if not ended:
                break
            reached = ended[-1].finished_at, ended[-1].id
            if ids := [one.id for one in ended if one.is_old]:
                gone = await database.run(partial(delete_jobs, ids=ids, belongings=belongings))
                deleted = {table: rows + gone[table] for table, rows in deleted.items()}
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
