"""Fulfils wishes about this worker: stops jobs, reports stacks of attempts, or takes no new jobs."""

import asyncio
from collections.abc import Iterable
from functools import partial

import structlog

from service import agreed_time
from service.ledger.reads.workers import wishes_of
from service.ledger.records.stacks import TakenStack, record_stacks
from service.ledger.states import Outcome
from service.worker.performing import stack
from service.worker.performing.attempt import Performer

log = structlog.get_logger(__name__)

# A worker that runs nothing can only be asked to drain, and a thousand idle workers should not look twice a second.
_LOOKS_WHEN_IDLE = 4


class Wishes:
    """Looks in the ledger for wishes about this worker and its attempts."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._ledger = performer.resources.ledger
        self._workload = performer.workload
        self._idle_looks = 0

    async def look(self) -> None:
        """Find wishes, and fulfil them; if nothing runs, only every fourth time."""
        self._idle_looks = 0 if self._workload.running else (self._idle_looks + 1) % _LOOKS_WHEN_IDLE
        if self._idle_looks:
            return
        async with self._ledger.read() as connection:
            wishes = await wishes_of(connection, self._workload.worker_id)
        for job_id in wishes.cancel:
            if attempt := self._workload.attempt_of(job_id):
                attempt.stop(Outcome.CANCELLED)
        if wishes.drain and not self._workload.drains:
            log.info("worker_drains", running=len(self._workload.running), remedy="stop it once nothing runs")
            self._workload.drain()
        if wishes.stacks:
            await self._tell_stacks(wishes.stacks)

    async def _tell_stacks(self, wanted: Iterable[tuple[str, int]]) -> None:
        # Together, because a child may take a moment to answer.
        told = await asyncio.gather(*(self._stack_of(job_id, number) for job_id, number in wanted))
        if taken := [one for one in told if one is not None]:
            await self._ledger.database.run(partial(record_stacks, taken=taken, at=agreed_time.now()))

    async def _stack_of(self, job_id: str, number: int) -> TakenStack | None:
        attempt = self._workload.attempt_of(job_id)
        if attempt is None or attempt.started.attempt != number or (lines := await attempt.stack()) is None:
            return None
        for thread in self._performer.threads.of_attempt(job_id, number):
            lines += ["In a thread:\n", *stack.of_thread(thread)]
        return TakenStack(job_id, number, stack.told(lines))
