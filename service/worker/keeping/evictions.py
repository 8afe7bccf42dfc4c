"""Finds single ids that have gone from Redis: evicted, removed by hand, or dropped by arq's own worker."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from service.ledger.ledger import Ledger
from service.ledger.reads import dispatching
from service.queue import Queue
from service.worker.keeping.redispatch import entry_of, member_of

log = structlog.get_logger(__name__)

_PAGE = 2_000
_SHOWN = 10
_START = (datetime.min.replace(tzinfo=UTC), "")


class Evictions:
    """Checks all jobs that should be on the queue, a page in each pass, again and again."""

    def __init__(self, ledger: Ledger, queue: Queue) -> None:
        self._ledger = ledger
        self._queue = queue
        self._beyond = _START

    async def mend(self, epoch: str) -> None:
        """Check the next page against Redis, and put missing ids again."""
        async with self._ledger.read() as connection:
            rows = await dispatching.dispatched(connection, epoch, self._beyond, _PAGE)
        self._beyond = (rows[-1].run_at, rows[-1].id) if len(rows) == _PAGE else _START
        gone = await self._gone(rows)
        if gone:
            await self._queue.put([entry_of(row) for row in gone])
            log.warning(
                "evicted_jobs_put_again",
                jobs=len(gone),
                job_ids=[row.id for row in gone[:_SHOWN]],
                remedy="set Redis' maxmemory-policy to noeviction, unless somebody removed them by hand",
            )

    async def _gone(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows of jobs that wait, but are not in Redis. A started job is no longer there, either."""
        missing = await self._queue.missing(map(member_of, rows)) if rows else set()
        suspects = [row for row in rows if missing and member_of(row) in missing]
        if not suspects:
            return []
        async with self._ledger.read() as connection:
            waiting = await dispatching.still_waiting(connection, [(row.id, row.attempt) for row in suspects])
        return [row for row in suspects if row.id in waiting]
