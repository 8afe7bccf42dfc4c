"""Shortens the log at its beginning: first notes in the log what will go, then deletes it batch by batch."""

from datetime import datetime
from functools import partial

from service.audit_log.chain import Keys
from service.audit_log.reads import last_before
from service.audit_log.records import record_deleted, record_pruned
from service.ledger.database import Database
from service.ledger.records.purged import PURGE_BATCH


async def prune_before(database: Database, before: datetime, actor: str, keys: Keys) -> int:
    """Delete what was recorded before this time, and what an earlier call left; return how many entries."""
    async with database.connect() as connection:
        through = await last_before(connection, before)
    if through is not None:
        await database.run(partial(record_pruned, through=through, actor=actor[:255], keys=keys))
    deleted = 0
    while gone := await database.run(partial(record_deleted, limit=PURGE_BATCH)):
        deleted += gone
    return deleted
