"""The trail has an age of its own, which no `cleanup` of jobs shortens."""

from datetime import timedelta
from functools import partial

from sqlalchemy import func, select

from service.access_tables import trail
from service.ledger.database import Database
from service.ledger.records.purged import PURGE_BATCH, record_rows_purged


async def purge_trail(database: Database, *, kept_for: timedelta, dry_run: bool) -> int:
    """Delete older actions, batch after batch; return how many. With `dry_run` only count."""
    async with database.connect() as connection:
        expired = trail.c.at < await database.now(connection) - kept_for
        if dry_run:
            return await connection.scalar(select(func.count()).select_from(trail).where(expired)) or 0
    deleted = gone = await database.run(partial(record_rows_purged, table=trail, expired=expired))
    while gone == PURGE_BATCH:
        gone = await database.run(partial(record_rows_purged, table=trail, expired=expired))
        deleted += gone
    return deleted
