"""The log as lines of JSON, in the order of its entries."""

import json
from collections.abc import AsyncIterator

from service.audit_log.reads import pages, said
from service.ledger.database import Database
from service.ledger.deadline import in_time


async def export(database: Database, *, after: int = 0) -> AsyncIterator[str]:
    """Yield the entries with a greater number, a page of lines at a time, in ASCII that no terminal obeys."""
    async for page in pages(database, after=after):
        yield "".join(f"{json.dumps(said(kept), separators=(',', ':'))}\n" for kept in page)


async def begin_export(database: Database, *, after: int = 0) -> AsyncIterator[str]:
    """Export once the first page is read, so that a failure can still be answered. Raises `LedgerUnavailable`."""
    exported = export(database, after=after)

    async def begin() -> str:
        return await anext(exported, "")

    first = await in_time(begin())

    async def lines() -> AsyncIterator[str]:
        yield first
        async for page in exported:
            yield page

    return lines()
