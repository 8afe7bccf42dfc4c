"""A worker's life in the ledger: its row, what it really runs, and who wants which of it cancelled."""

import json
import os
import socket
from typing import Any

import structlog

from service import agreed_time
from service.ledger.clock import now_by
from service.ledger.reads.workers import cancel_wishes, running_under
from service.ledger.records.workers import record_ended, record_registered
from service.ledger.states import Outcome
from service.resources import new_process_id
from service.worker.performing import verdict
from service.worker.performing.performer import Performer

log = structlog.get_logger(__name__)


class WorkerLease:
    """The lease of all that `performer` runs, as seen from the event loop; `heartbeat.py` renews it."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._ledger = performer.resources.ledger

    async def begin(self) -> None:
        """Register the performer's worker id: a row of one's own, under which jobs may be started."""
        await self._register(self._performer.worker_id)

    async def end(self) -> None:
        """End the life: in order, or as the crash of what it still runs."""
        if self._performer.crashed:
            await self.hand_back_unknown()  # a start that was cut off is no crash of what had not begun
        worker_id, crashed = self._performer.worker_id, self._performer.crashed
        await self._ledger.database.run(
            lambda connection: record_ended(connection, worker_id, now_by(connection), crashed=crashed)
        )

    def lose(self, worker_id: str) -> None:
        """Hear that `worker_id` was declared dead: stop all that it runs, for others do so by now."""
        if worker_id != self._performer.worker_id or self._performer.lease_lost:
            return
        self._performer.lease_lost = True
        lost = list(self._performer.attempts.values())
        log.error("worker_was_declared_dead", worker=worker_id, attempts_stopped=len(lost))
        self._performer.slots.hand_back()
        for attempt in lost:
            attempt.stop(Outcome.INTERRUPTED)

    async def begin_anew_if_lost(self) -> None:
        """After a lost lease, begin a new life under a new id; until then nothing is claimed."""
        if self._performer.lease_lost:
            worker_id = new_process_id()
            await self._register(worker_id)
            self._performer.worker_id = worker_id
            self._performer.lease_lost = False

    async def hand_back_unknown(self) -> None:
        """Hand back what runs here only by the ledger: a start was committed, and its answer lost."""
        held_before = set(self._performer.held_ids)
        async with self._ledger.read() as connection:
            rows = await running_under(connection, self._performer.worker_id)
        # What ends while the ledger reads is in hand before, what begins meanwhile is afterwards.
        known = held_before | self._performer.held_ids
        unknown = [row for row in rows if row["id"] not in known]
        if unknown:
            ids = [row["id"] for row in unknown]
            log.warning("attempts_handed_back", job_ids=ids, reason="the ledger says they run here; they do not")
            lost, now = verdict.of_unheard(), agreed_time.now()
            await self._ledger.finish_all([verdict.finish_of_lost(row, lost, row["worker"], now) for row in unknown])

    async def watch_cancellations(self) -> None:
        """Stop the attempts whose jobs somebody has cancelled."""
        if not self._performer.attempts:
            return
        async with self._ledger.read() as connection:
            wishes = await cancel_wishes(connection, self._performer.worker_id)
        for job_id in wishes:
            if attempt := self._performer.attempts.get(job_id):
                attempt.stop(Outcome.CANCELLED)

    async def _register(self, worker_id: str) -> None:
        queues = self._performer.resources.settings.queues
        worker: dict[str, Any] = {
            "id": worker_id,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "queues": ",".join(queues),
            "kinds": json.dumps(sorted(self._performer.resources.catalogue)),
            "slots": self._performer.resources.settings.max_jobs,
        }
        await self._ledger.database.run(lambda connection: record_registered(connection, now_by(connection), **worker))
        log.info("worker_registered", worker=worker_id, queues=queues)
