"""The rescue: jobs of workers that are gone run again or, after too many crashes, fail with the reason."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import structlog
from sqlalchemy import RowMapping

from service import agreed_time
from service.ledger.clock import now_by
from service.ledger.models import Finished
from service.ledger.reads.workers import is_anybody_silent, isolated_losses, orphans
from service.ledger.records.workers import record_dead, record_rescued
from service.ledger.states import Loss, Outcome, loss_of
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources
from service.worker.performing import outcome
from service.worker.performing.attempt_log import tell_end
from service.worker.performing.finish import finish_of_lost
from service.worker.performing.outcome import AttemptOutcome

log = structlog.get_logger(__name__)

_BATCH = 1_000


class Rescue:
    """Finds dead workers and what they held. Every step is guarded: two rescuers at once do no harm."""

    def __init__(self, resources: Resources, lifecycle: Lifecycle, worker_id: Callable[[], str]) -> None:
        self._ledger = resources.ledger
        self._catalogue = resources.catalogue
        self._dispatcher = lifecycle.dispatcher
        self._following = lifecycle.following
        self._worker_id = worker_id
        self._max_crashes = resources.settings.max_crashes

    async def rescue(self) -> None:
        """Take the jobs of dead workers. Only a worker that has kept its own lease may declare others dead."""
        as_worker = self._worker_id()
        async with self._ledger.read() as connection:
            silent = await is_anybody_silent(connection, await self._ledger.database.now(connection))
        if silent:
            await self._declare_dead(as_worker)
        async with self._ledger.read() as connection:
            lost = await orphans(connection, _BATCH)
        if not lost:
            return
        before_ms = await self._dispatcher.clock_ms()
        finished = await asyncio.gather(*(self._rescue_one(orphan, as_worker) for orphan in lost))
        await self._dispatcher.release_lost(zip(lost, finished, strict=True), before_ms)
        await self._count(orphan["worker"] for orphan, one in zip(lost, finished, strict=True) if one is not None)

    async def _declare_dead(self, as_worker: str) -> None:
        dead = await self._ledger.database.run(
            lambda connection: record_dead(connection, as_worker, now_by(connection))
        )
        if dead:
            log.error("workers_declared_dead", workers=dead)

    async def _rescue_one(self, orphan: RowMapping, rescuer: str) -> Finished | None:
        finish = finish_of_lost(orphan, await self._outcome(orphan), rescuer, agreed_time.now())
        finished = await self._ledger.finish(finish)
        if finished is not None:
            self._following.carry_on(finished.followed)
            tell_end(finish, finished, rescued=True)
        return finished

    async def _count(self, workers: Iterable[str]) -> None:
        """Record with each worker how many of its jobs were rescued."""
        if rescued := Counter(workers):
            await self._ledger.database.run(partial(record_rescued, rescued=rescued))

    async def _outcome(self, orphan: RowMapping) -> AttemptOutcome:
        worker, crashes = orphan["worker"], orphan["crashes"]
        in_order, prefetched = orphan["declared_dead"] == 0, orphan["prefetched"] == 1
        kind = self._catalogue.get(orphan["kind"])
        match loss_of(
            in_order=in_order,
            prefetched=prefetched,
            crashes=crashes,
            max_crashes=self._max_crashes,
            in_process=kind is not None and kind.runs == "process",
        ):
            case Loss.HANDED_BACK:
                return outcome.of_stop(Outcome.INTERRUPTED)
            case Loss.WAITED:
                return outcome.of_lost_wait(worker)
            case Loss.ISOLATED:
                async with self._ledger.read() as connection:
                    losses = await isolated_losses(connection, orphan["id"])
                return outcome.of_lost_isolated(worker, losses + 1)
            case Loss.CRASHED:
                return outcome.of_crash(f"Worker {worker} died while it ran this job.", crashes + 1, self._max_crashes)
