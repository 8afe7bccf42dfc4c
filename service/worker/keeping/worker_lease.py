"""A worker's lease on all that it runs: its row in the ledger, from registration to sign-off.

The heartbeat renews it from a thread of its own (`heartbeat.py`) and reports a loss to the loop; the rest is here.
The id of the lease is the worker's id. A lost lease is replaced by one under a new id, never won back.
"""

import json
import os
import socket
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import structlog

from service import agreed_time
from service.ledger.clock import now_by
from service.ledger.reads.workers import running_under
from service.ledger.records.workers import record_ended, record_registered
from service.lifecycle.lifecycle import Lifecycle
from service.resources import Resources, new_process_id
from service.worker.keeping.blocked_stack import BlockedStack
from service.worker.keeping.heartbeat import Heartbeat
from service.worker.keeping.loop_watch import LoopWatch
from service.worker.performing import outcome
from service.worker.performing.finish import finish_of_lost
from service.worker.workload import Workload

log = structlog.get_logger(__name__)


class WorkerLease:
    """The lease of what `workload` holds, as seen from the event loop."""

    def __init__(
        self,
        resources: Resources,
        lifecycle: Lifecycle,
        workload: Workload,
        *,
        hung_threads: Callable[[], int] = lambda: 0,
    ) -> None:
        self._resources = resources
        self._ledger = resources.ledger
        self._dispatcher = lifecycle.dispatcher
        self._following = lifecycle.following
        self._workload = workload
        self._heartbeat = Heartbeat(
            resources.settings.sqlalchemy_url,
            LoopWatch(
                workload.on_the_loop, end=lambda: self._heartbeat.end_process(), on_blocked=workload.note_blocked
            ),
            worker_id=lambda: workload.worker_id,
            on_lost=self.lose,
            hung_threads=hung_threads,
            while_blocked=BlockedStack(workload).tell,
        )

    async def begin(self) -> None:
        """Register the worker: from now on jobs may be started under its id. Safe to repeat after an outage."""
        await self._register(self._workload.worker_id)

    def keep(self) -> None:
        """Renew the lease from now on."""
        self._heartbeat.start()

    async def end(self) -> None:
        """Sign off: in order, or as the crash of the attempts that still run. Raises `LedgerUnavailable`."""
        await self._heartbeat.stop()
        if self._workload.crashed:
            await self.hand_back_unknown()  # an attempt whose start was cut off had not begun, so it has not crashed
        worker_id, crashed = self._workload.worker_id, self._workload.crashed
        await self._ledger.database.run(
            lambda connection: record_ended(connection, worker_id, now_by(connection), crashed=crashed)
        )

    def lose(self, worker_id: str) -> None:
        """Called when `worker_id` was declared dead: stop everything it runs, because others run it by now."""
        attempts = len(self._workload.running)
        if self._workload.lose_lease(worker_id):
            log.error("worker_was_declared_dead", worker=worker_id, attempts_stopped=attempts)

    async def begin_anew_if_lost(self) -> None:
        """Replace a lost lease with one under a new id; until then nothing is claimed."""
        if self._workload.lease_lost:
            worker_id = new_process_id()
            await self._register(worker_id)
            self._workload.renew_lease(worker_id)

    async def hand_back_unknown(self) -> None:
        """Hand back attempts that run here only by the ledger: their start was committed, but the answer was lost."""
        held_before = self._workload.held_ids
        async with self._ledger.read() as connection:
            rows = await running_under(connection, self._workload.worker_id)
        # An attempt that ends while the ledger reads was held before; one that begins meanwhile is held afterwards.
        known = held_before | self._workload.held_ids
        async with self._workload.handing_over:  # what a finish under way has started is held once that is over
            known |= self._workload.held_ids
        unknown = [row for row in rows if row["id"] not in known]
        if unknown:
            ids = [row["id"] for row in unknown]
            log.warning("attempts_handed_back", job_ids=ids, reason="the ledger says they run here; they do not")
            before_ms = await self._dispatcher.clock_ms()
            lost, now = outcome.of_unheard(), agreed_time.now()
            finished = await self._ledger.finish_all([finish_of_lost(row, lost, row["worker"], now) for row in unknown])
            for one in finished:
                if one is not None:
                    self._following.carry_on(one.followed)
            await self._dispatcher.release_lost(zip(unknown, finished, strict=True), before_ms)

    async def _register(self, worker_id: str) -> None:
        settings = self._resources.settings
        worker: dict[str, Any] = {
            "id": worker_id,
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "queues": ",".join(settings.queues),
            "kinds": json.dumps(sorted(self._resources.catalogue)),
            "slots": settings.max_jobs,
            "version": settings.version or version("postlude"),
            "drain_at": agreed_time.now() if self._workload.drains else None,
        }
        await self._ledger.database.run(lambda connection: record_registered(connection, now_by(connection), **worker))
        log.info("worker_registered", worker=worker_id, queues=settings.queues)
