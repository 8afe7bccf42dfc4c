"""A worker's own `/metrics`, on a port named in the settings: figures that only its process knows.

It is served from threads, so that it answers, and reports the lag, while the event loop is blocked.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import metrics
from service.errors import StartRefused
from service.settings import Settings
from service.worker.keeping.memory_use import resident_bytes
from service.worker.performing.attempt import Performer

log = structlog.get_logger(__name__)

# How long a look waits for the loop. A loop that is blocked for longer is reported as blocked for this long.
_LOOP_WAIT_S = 1.0


@asynccontextmanager
async def serving_metrics(settings: Settings, performer: Performer) -> AsyncIterator[None]:
    """Serve the metrics, if the settings name a port. Raises `StartRefused`."""
    port = settings.worker_metrics_port
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    registry.register(_WorkerMetrics(performer, asyncio.get_running_loop()))
    try:
        server, thread = start_http_server(port, settings.host, registry)
    except OSError as error:
        reason = f"nothing can be served on {settings.host}:{port} ({error.strerror or error})"
        remedy = "each worker of a machine needs a port of its own"
        raise StartRefused(f"POSTLUDE_WORKER_METRICS_PORT: {reason}; {remedy}") from error
    log.info("worker_metrics_served", host=settings.host, port=port)
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _WorkerMetrics(Collector):
    def __init__(self, performer: Performer, loop: asyncio.AbstractEventLoop) -> None:
        self._performer = performer
        self._loop = loop

    def collect(self) -> Iterator[Metric]:
        """Report the worker's state, and what its process has counted."""
        workload, threads = self._performer.workload, self._performer.threads
        yield _gauge("attempts_running", "Attempts that run now", len(workload.running))
        yield _gauge("slots", "How many attempts run at once", self._performer.resources.settings.max_jobs)
        yield _gauge("draining", "1 if the worker takes no new jobs until it is stopped", workload.drains)
        yield _gauge("threads_hung", "Calls in threads that go on although nobody waits for them", threads.hung)
        yield _gauge("loop_turn_seconds", "How long the event loop took to turn just now, 1 at most", self._lag())
        if (resident := resident_bytes()) is not None:
            yield _gauge("resident_memory_bytes", "Resident memory", resident)
        yield from metrics.of_this_worker()

    def _lag(self) -> float:
        turned, asked_at = threading.Event(), time.perf_counter()
        try:
            self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # the loop is closed: the worker is ending
            return 0.0
        turned.wait(_LOOP_WAIT_S)
        return time.perf_counter() - asked_at


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"postlude_{name}", text, value=value)
