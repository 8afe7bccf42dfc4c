"""Due times: scheduled and retrying jobs become `queued`, and jobs past their `expires_in` fail."""

from datetime import datetime
from functools import partial

import structlog

from service import agreed_time
from service.ledger.ledger import Ledger
from service.ledger.reads import dispatching
from service.ledger.records.expired import record_expired
from service.ledger.records.promoted import record_promoted
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.queue import NO_CLAIM_MS, Release
from service.worker.keeping.priorities import Priorities
from service.worker.keeping.redispatch import entry_of

log = structlog.get_logger(__name__)

_BATCH = 1_000


class DueTimes:
    """Promotes and expires jobs, a batch of each in a pass. `writer` names this process in the tallies."""

    def __init__(
        self, ledger: Ledger, writer: str, priorities: Priorities, dispatcher: Dispatcher, following: Following
    ) -> None:
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._following = following
        self._writer = writer
        self._priorities = priorities

    async def keep(self) -> bool:
        """Promote and expire jobs; return whether a batch was full. If there are none, it only reads."""
        now = agreed_time.now()
        async with self._ledger.read() as connection:
            due, expired = await dispatching.has_come_due(connection, now)
        promoted = await self._promote(now) if due else 0
        failed = await self._expire(now) if expired else 0
        return _BATCH in (promoted, failed)

    async def _promote(self, now: datetime) -> int:
        promoted = await self._ledger.database.run(partial(record_promoted, at=now, limit=_BATCH))
        self._priorities.add(entry_of(row) for row in promoted if row.priority)
        return len(promoted)

    async def _expire(self, now: datetime) -> int:
        record = partial(record_expired, writer=self._writer, at=now, limit=_BATCH)
        expired = await self._ledger.database.run(record)
        log.warning("jobs_expired", jobs=len(expired))
        for one in expired:
            self._following.carry_on(one.followed)
        await self._dispatcher.release(
            [Release(one.member, one.lanes, claim_ms=NO_CLAIM_MS) for one in expired if one.lanes]
        )
        return len(expired)
