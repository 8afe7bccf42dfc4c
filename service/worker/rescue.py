"""The rescue: jobs of workers that are gone run again or, after too many crashes, fail with the reason."""

import asyncio

import structlog
from sqlalchemy import RowMapping

from service import agreed_time
from service.ledger import liveness
from service.ledger.models import Finish
from service.ledger.states import Outcome
from service.resources import Resources
from service.worker import verdict

log = structlog.get_logger(__name__)

_BATCH = 1_000


class Rescue:
    """Finds who is dead and what they held. Every step is guarded: two rescuers at once do no harm."""

    def __init__(self, resources: Resources) -> None:
        self._ledger = resources.ledger
        self._max_crashes = resources.settings.max_crashes

    async def rescue(self, as_worker: str) -> None:
        """Take their jobs from dead workers, if the worker `as_worker` may call others dead; putting is the sweep's."""
        async with self._ledger.read() as connection:
            silent = await liveness.is_anybody_silent(connection, await self._ledger.database.now(connection))
        if silent:
            await self._declare_dead(as_worker)
        async with self._ledger.read() as connection:
            orphans = await liveness.orphans(connection, _BATCH)
        await asyncio.gather(*(self._rescue_one(orphan, as_worker) for orphan in orphans))

    async def _declare_dead(self, as_worker: str) -> None:
        async with self._ledger.database.begin() as connection:
            dead = await liveness.declare_dead(connection, as_worker, await self._ledger.database.now(connection))
        if dead:
            log.error("workers_declared_dead", workers=dead)

    async def _rescue_one(self, orphan: RowMapping, rescuer: str) -> None:
        finish = self._handed_back(orphan, rescuer) if orphan["declared_dead"] == 0 else self._crashed(orphan, rescuer)
        finished = await self._ledger.finish(finish)
        if finished is not None:
            log.warning("job_rescued", job_id=finish.id, kind=finish.kind, outcome=finish.outcome, state=finished.state)

    def _handed_back(self, orphan: RowMapping, rescuer: str) -> Finish:
        """A worker that stopped in order, and could not write this outcome any more, has not crashed."""
        stopped = verdict.of_stop(Outcome.INTERRUPTED)
        return verdict.finish_of_lost(orphan, stopped, rescuer, agreed_time.now())

    def _crashed(self, orphan: RowMapping, rescuer: str) -> Finish:
        died = verdict.of_crash(
            f"Worker {orphan['worker']} died while it ran this job.", orphan["crashes"] + 1, self._max_crashes
        )
        return verdict.finish_of_lost(orphan, died, rescuer, agreed_time.now())
