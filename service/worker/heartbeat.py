"""A worker's life in the ledger: its lease, what it really runs, and who wants which of it cancelled."""

import os
import socket
from datetime import UTC, datetime
from typing import Any

import structlog

from service.ledger import liveness, queries
from service.ledger.models import Failure, Finish
from service.ledger.states import Outcome, State
from service.resources import new_process_id
from service.worker.perform import Performer

log = structlog.get_logger(__name__)


class Heartbeat:
    """Keeps the lease of all that `performer` runs."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._ledger = performer.resources.ledger
        self._unbroken_since: datetime | None = None
        self._last: datetime | None = None

    async def register(self) -> None:
        """Begin a life: a row of one's own, under which jobs may be started."""
        settings = self._performer.resources.settings
        async with self._ledger.database.begin() as connection:
            now = await self._ledger.database.now(connection)
            await liveness.register(
                connection,
                now,
                id=self._performer.worker_id,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                queues=",".join(settings.queues),
            )
        self._unbroken_since = self._last = now
        log.info("worker_registered", worker=self._performer.worker_id, queues=settings.queues)

    async def beat(self) -> None:
        """Renew the lease, or begin a new life if it was taken; hand back what is ours only by the ledger."""
        async with self._ledger.database.begin() as connection:
            now = await self._ledger.database.now(connection)
            alive = await liveness.beat(connection, self._performer.worker_id, now)
        if not alive:
            await self._begin_anew()
            return
        if self._last is None or now - self._last >= liveness.SILENT_AFTER:
            self._unbroken_since = now
        self._last = now
        await self._hand_back_unknown()

    def may_rescue(self) -> bool:
        """Whether this lease has held for long enough to call others dead.

        Right after an outage of the database, or a suspended machine, everybody looks dead.
        """
        if self._last is None or self._unbroken_since is None:
            return False
        return self._last - self._unbroken_since >= liveness.SILENT_AFTER

    async def end(self) -> None:
        """End the life in order."""
        async with self._ledger.database.begin() as connection:
            await liveness.end(connection, self._performer.worker_id, await self._ledger.database.now(connection))

    async def watch_cancellations(self) -> None:
        """Stop the attempts whose jobs somebody has cancelled."""
        if not self._performer.attempts:
            return
        async with self._ledger.read() as connection:
            wishes = await queries.cancel_wishes(connection, self._performer.worker_id)
        for job_id in wishes:
            if attempt := self._performer.attempts.get(job_id):
                attempt.stop(Outcome.CANCELLED)

    async def _begin_anew(self) -> None:
        lost = list(self._performer.attempts.values())
        log.error("worker_was_declared_dead", worker=self._performer.worker_id, attempts_stopped=len(lost))
        for attempt in lost:
            attempt.stop(Outcome.INTERRUPTED)
        self._performer.worker_id = new_process_id()
        await self.register()

    async def _hand_back_unknown(self) -> None:
        async with self._ledger.read() as connection:
            rows = await liveness.running_under(connection, self._performer.worker_id)
        for row in rows:
            if row.id not in self._performer.in_hand:
                log.warning("attempt_handed_back", job_id=row.id, reason="the ledger says it runs here; it does not")
                await self._ledger.finish(_handed_back(row))


def _handed_back(row: Any) -> Finish:
    return Finish(
        id=row.id,
        kind=row.kind,
        attempt=row.attempt,
        worker=row.worker,
        outcome=Outcome.INTERRUPTED,
        state=State.QUEUED,
        at=datetime.now(UTC),
        failure=Failure("Interrupted", "The attempt was recorded, but its worker had not heard of it."),
    )
