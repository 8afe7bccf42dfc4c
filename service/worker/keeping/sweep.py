"""The sweep: compares ledger and queue, and mends the difference."""

import time
from datetime import datetime
from functools import partial

import structlog

from service import agreed_time
from service.clocks import Clocks
from service.durability import Durability
from service.ledger.reads import dispatching
from service.ledger.records.dispatched import record_dispatched
from service.ledger.records.expired import record_expired
from service.ledger.records.promoted import record_promoted
from service.queue import UNREACHABLE, Entry, refusal_of
from service.resources import Resources
from service.worker.keeping.audit_log import AuditLog
from service.worker.keeping.evictions import Evictions, entry_of, place_of
from service.worker.keeping.leadership import Leadership
from service.worker.keeping.rescue import Rescue

log = structlog.get_logger(__name__)

_BATCH = 1_000
_READ_EPOCH_EVERY_S = 5.0
_LONGEST_PASS_S = 2.0
# For jobs that are on the queue already, as those are that a backlog's worker will come to: only a note is missing.
_CALM_PASS_S = 0.1


class Sweep:
    """One pass after the other, each bounded. One worker leads; all it does is guarded or harmless twice, so that one
    who was frozen in the middle of a pass, and has been replaced, does no harm when it goes on.
    """

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._queue = resources.queue
        self._writer = resources.process_id
        self._leadership = Leadership(resources.ledger, resources.process_id)
        self._rescue = Rescue(resources)
        self._evictions = Evictions(resources)
        self._audit_log = AuditLog(resources.ledger)
        self._clocks = Clocks(resources.ledger.database, resources.queue.redis)
        self._durability = Durability(resources.ledger.database, resources.queue.redis, resources.settings.queues)
        self._checked_epoch: str | None = None
        self._to_prioritise: list[Entry] = []
        self._queue_away = False
        self._epoch: str | None = None
        self._epoch_read_at = 0.0

    async def sweep(self, *, as_worker: str) -> bool:
        """Do one pass on behalf of the worker `as_worker`, if this process leads.

        Return whether there is more to do at once than one pass may.
        """
        await self._clocks.compare()
        if self._checked_epoch is None:
            await self._check_settings("")
        if not await self._leadership.is_held():
            return False
        more = await self._mend_ledger()
        await self._rescue.rescue(as_worker)
        more = await self._mend_queue() or more
        await self._audit_log.look()
        return more

    async def release(self) -> None:
        """Let another worker lead, when this one stops."""
        await self._leadership.release()

    async def dispatch(self) -> int:
        """Put what is recorded, due soon and not known to be on the queue, on the queue; returns how many that were."""
        found, _ = await self._dispatch(await self._queue.epoch())
        return found

    async def _mend_ledger(self) -> bool:
        """Promote what has come due, and fail what has expired. Without either, this only reads."""
        now = agreed_time.now()
        async with self._ledger.read() as connection:
            due, expired = await dispatching.has_come_due(connection, now)
        promoted = await self._promote(now) if due else 0
        failed = await self._expire(now) if expired else 0
        return _BATCH in (promoted, failed)

    async def _promote(self, now: datetime) -> int:
        promoted = await self._ledger.database.run(partial(record_promoted, at=now, limit=_BATCH))
        self._to_prioritise += [entry_of(row) for row in promoted if row.priority]
        return len(promoted)

    async def _expire(self, now: datetime) -> int:
        record = partial(record_expired, writer=self._writer, at=now, limit=_BATCH)
        expired = await self._ledger.database.run(record)
        log.warning("jobs_expired", jobs=expired)
        return expired

    async def _mend_queue(self) -> bool:
        """Dispatch, and look for single ids that are gone. While Redis is away the ledger's part goes on."""
        try:
            epoch = await self._current_epoch()
            await self._prioritise()
            await self._leadership.note_epoch(epoch)
            await self._check_settings(epoch)
            left, more = await self._dispatch_for_a_while(epoch)
            if not left:
                await self._evictions.mend(epoch)
                self._leadership.swept(epoch)
        except UNREACHABLE as error:
            self._epoch = None
            self._note_queue(away=f"{type(error).__name__}: {error}", reason=refusal_of(error))
            await self._leadership.note_epoch(None)
            return False
        self._note_queue(away=None)
        return more

    async def _current_epoch(self) -> str:
        """Return the queue's epoch as of a few seconds ago: an idle worker must not keep Redis busy."""
        if self._epoch is None or time.monotonic() > self._epoch_read_at + _READ_EPOCH_EVERY_S:
            self._epoch, self._epoch_read_at = await self._queue.epoch(), time.monotonic()
        return self._epoch

    async def _prioritise(self) -> None:
        """Move what has come due to the place of its priority; where Redis is away, when it is back."""
        if self._to_prioritise:
            await self._queue.prioritise(self._to_prioritise)
            self._to_prioritise = []

    async def _check_settings(self, epoch: str) -> None:
        """Warn of settings that break promises: at the start, and again of each Redis that comes after."""
        if epoch != self._checked_epoch:
            self._checked_epoch = epoch
            await self._durability.check()

    async def _dispatch_for_a_while(self, epoch: str) -> tuple[bool, bool]:
        """Dispatch batch after batch, well within the lease; returns whether something is left, and is urgent."""
        began, put = time.monotonic(), 0
        while True:
            found, newly_put = await self._dispatch(epoch)
            put += newly_put
            if found < _BATCH:
                return False, False
            if time.monotonic() > began + (_LONGEST_PASS_S if put else _CALM_PASS_S):
                return True, put > 0

    async def _dispatch(self, epoch: str) -> tuple[int, int]:
        """Dispatch a batch; returns how many were not known to be on the queue, and how many really were not."""
        async with self._ledger.read() as connection:
            rows = await dispatching.undispatched(connection, epoch, agreed_time.now(), _BATCH)
        if not rows:
            return 0, 0
        missing = await self._queue.missing(map(place_of, rows))
        put = [row for row in rows if place_of(row) in missing]
        # An adopted job's id stays on the queue while it runs, as in progress for as long as its timeout, and is moved
        # ahead by each claim. After its worker's death it is let go of, to where it is due.
        held = [row for row in rows if row.arq_id is not None and place_of(row) not in missing]
        # Raises if Redis refuses any of it, and then nothing is noted: what was put before is put again.
        await self._queue.put(map(entry_of, put))
        if held:
            await self._queue.put_back(list(map(entry_of, held)))
        noted = [(row.id, row.attempt) for row in rows]
        await self._ledger.database.run(partial(record_dispatched, put=noted, epoch=epoch))
        return len(rows), len(put) + len(held)

    def _note_queue(self, *, away: str | None, reason: str | None = None) -> None:
        """Say once when Redis stops taking jobs, and when it takes them again."""
        if reason and not self._queue_away:
            log.error("redis_refuses", error=away, reason=reason)
        elif away and not self._queue_away:
            log.warning("queue_not_mended", error=away, remedy="jobs stay in the ledger; the sweep tries each second")
        elif self._queue_away and not away:
            log.info("queue_mended_again")
        self._queue_away = away is not None
