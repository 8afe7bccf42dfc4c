"""When a job is deleted, so is the note that it was counted. Ids and buckets have their own retention; totals stay."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, Table

from service.feature import Purge
from service.ledger.ledger import Ledger
from service.ledger.records.purged import PURGE_BATCH, record_rows_purged, rows_of_jobs
from service.settings import Settings
from service.stats.reads import count_rows, counted_events
from service.stats.records import MINUTES_KEPT
from service.stats.tables import counted_ids, counted_jobs, minute_counts, quarter_counts, quarter_sketches


async def purge_stats(settings: Settings, ledger: Ledger, older_than: timedelta, *, dry_run: bool) -> dict[str, int]:
    """Delete buckets and ids past their retention in the settings; return how many of each."""
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    kept = {minute_counts: MINUTES_KEPT, quarter_counts: settings.stats_kept, quarter_sketches: settings.stats_kept}
    deleted = {
        table.name: await _purge_buckets(ledger, table, now - kept_for, dry_run=dry_run)
        for table, kept_for in kept.items()
        if kept_for is not None
    }
    before = now - timedelta(days=settings.stats_ids_days)
    deleted[counted_ids.name] = await _purge(ledger, counted_ids, counted_ids.c.counted_at < before, dry_run=dry_run)
    return deleted


async def _purge_buckets(ledger: Ledger, table: Table, before: datetime, *, dry_run: bool) -> int:
    """Go from event to event, as the index does."""
    async with ledger.read() as connection:
        events = await counted_events(connection, table)
    expired = [(table.c.event == event) & (table.c.bucket_at < before) for event in events]
    return sum([await _purge(ledger, table, one, dry_run=dry_run) for one in expired])


async def _purge(ledger: Ledger, table: Table, expired: ColumnElement[bool], *, dry_run: bool) -> int:
    if dry_run:
        async with ledger.read() as connection:
            return await count_rows(connection, table, expired)
    deleted = gone = await ledger.database.run(partial(record_rows_purged, table=table, expired=expired))
    while gone == PURGE_BATCH:
        gone = await ledger.database.run(partial(record_rows_purged, table=table, expired=expired))
        deleted += gone
    return deleted


PURGE = Purge(of_jobs=rows_of_jobs(counted_jobs), by_age=purge_stats)
