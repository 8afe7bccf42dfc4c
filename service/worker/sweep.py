"""The sweep: compares ledger and queue, and mends the difference."""

from datetime import UTC, datetime
from typing import Any

import structlog

from service.ledger import dispatching
from service.ledger.records.controlled import record_expired
from service.queue import Entry
from service.resources import Resources
from service.worker.rescue import Rescue

log = structlog.get_logger(__name__)

_BATCH = 1_000


class Sweep:
    """One pass after the other, each bounded; every worker may sweep, for all of it is guarded or harmless twice."""

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._queue = resources.queue
        self._rescue = Rescue(resources)
        self._writer = resources.process_id

    async def sweep(self, *, as_worker: str) -> int:
        """Do one pass on behalf of the worker `as_worker`; gives how many jobs were dispatched."""
        await self._mend_ledger()
        await self._rescue.rescue(as_worker)
        return await self.dispatch()

    async def dispatch(self) -> int:
        """Put what is recorded, due soon and not known to be on the queue, on the queue."""
        epoch = await self._queue.epoch()
        async with self._ledger.read() as connection:
            rows = await dispatching.undispatched(connection, epoch, datetime.now(UTC), _BATCH)
        if not rows:
            return 0
        await self._queue.put([_entry(row) for row in rows])
        async with self._ledger.database.begin() as connection:
            await dispatching.note_dispatched(connection, [(row.id, row.attempt) for row in rows], epoch)
        return len(rows)

    async def _mend_ledger(self) -> None:
        now = datetime.now(UTC)
        async with self._ledger.database.begin() as connection:
            promoted = await dispatching.promote_due(connection, now, _BATCH)
            expired = await record_expired(connection, self._writer, now, _BATCH)
        if promoted:
            await self._queue.prioritise([_entry(row) for row in promoted if row.priority])
        if expired:
            log.warning("jobs_expired", jobs=expired)


def _entry(row: Any) -> Entry:
    return Entry(row.arq_id or row.id, row.kind, row.queue, row.run_at, row.priority)
