"""What happens before a worker's first job and after its last one: arq's `on_startup` and `on_shutdown`."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import structlog

from jobs import Catalogue
from service import heap, logs, preflight
from service.clocks import Clocks
from service.errors import StartRefused
from service.features import FEATURES
from service.job_resources import open_job_resources
from service.resources import open_resources
from service.settings import Settings
from service.worker import stock
from service.worker.keeping.housekeeping import Housekeeping
from service.worker.metrics_server import serving_metrics
from service.worker.performing.attempt import CTX_KEY, Performer

log = structlog.get_logger(__name__)


class Startup:
    """Opens everything for the worker whose ctx it is given; `shut_down` closes it in reverse."""

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._stack = AsyncExitStack()

    async def start_up(self, ctx: dict[Any, Any]) -> None:
        """Open the resources, wait for the database, register the worker and begin to keep house."""
        try:
            await self._open(ctx)
        except StartRefused as error:
            raise SystemExit(f"error: {error}") from error

    async def _open(self, ctx: dict[Any, Any]) -> None:
        logs.mute_arq()
        preflight.check_ledger_file(self._settings)
        async with AsyncExitStack() as stack:
            resources = await stack.enter_async_context(
                open_resources(self._settings, self._catalogue, redis=ctx["redis"], features=FEATURES)
            )
            await preflight.check_servers(resources.ledger.database, resources.queue.redis)
            await Clocks(resources.ledger.database, resources.queue.redis).agree_soon()
            job_resources = await stack.enter_async_context(open_job_resources(resources))
            performer = Performer(resources, job_resources)
            stack.callback(performer.threads.shutdown)
            await stack.enter_async_context(performer.processes)
            # The threads of `ctx.thread`: asyncio's own default has a handful, fewer than there can be jobs.
            asyncio.get_running_loop().set_default_executor(performer.threads)
            stack.push_async_callback(performer.recorded_log.close)
            stack.enter_context(performer.recorded_log.keeping.listening())
            await stack.enter_async_context(serving_metrics(self._settings, performer))
            if self._settings.stock_worker:
                await stock.begin(resources)
            await stack.enter_async_context(Housekeeping(performer))
            stack.enter_context(heap.gc_frozen())
            ctx[CTX_KEY] = performer
            self._stack = stack.pop_all()
        log.info("worker_ready", kinds=sorted(self._catalogue), queues=self._settings.queues)
        not_worked = sorted({kind.queue for kind in self._catalogue.values()} - set(self._settings.queues))
        if not_worked:
            log.warning("queues_not_worked_here", queues=not_worked, remedy="name them in POSTLUDE_QUEUES of a worker")

    async def shut_down(self, ctx: dict[Any, Any]) -> None:
        """Close what was opened for `ctx`."""
        ctx.pop(CTX_KEY, None)
        await self._stack.aclose()
