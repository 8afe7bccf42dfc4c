"""Runs the API and a worker inside a test: a real socket, a real queue, a real ledger."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import uvicorn

from jobs import Catalogue, Kind
from service.queue import deserialize, key_of, open_redis, serialize
from service.settings import Settings
from service.web.one_write import Protocol
from service.worker.functions import kind_functions
from service.worker.startup import Startup
from service.worker.worker import Worker
from tests.support.apps import made_app
from tests.support.serving import PromptServer

T = TypeVar("T")
TIMEOUT_S = 60.0


async def eventually(condition: Callable[[], Awaitable[T]], timeout_s: float = TIMEOUT_S) -> T:
    """Wait until `condition` returns something true, and return that; fail after `timeout_s`."""
    pause_s = 0.02
    async with asyncio.timeout(timeout_s):
        while not (value := await condition()):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.1, 0.1)  # polling takes time from the work that it waits for
        return value


def catalogue_of(*kinds: Kind[Any, Any]) -> Catalogue:
    return Catalogue({kind.name: kind for kind in kinds})


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API on a free port of loopback; return a client of it."""
    # The protocol is named, else asyncio leaves Nagle's delay on: 40 ms for each answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = PromptServer(uvicorn.Config(made_app(settings), http=Protocol, log_config=None, lifespan="on"))
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.01)
        if serving.done():
            await serving
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=TIMEOUT_S) as client:
            yield client
    finally:
        server.stop()
        await serving


@asynccontextmanager
async def running_worker(settings: Settings, catalogue: Catalogue, **options: Any) -> AsyncIterator[Worker]:
    """Run our worker class in this loop, as arq's CLI would construct it."""
    startup = Startup(settings, catalogue)
    worker = Worker(
        functions=kind_functions(catalogue),
        queue_name=key_of(settings.queues[0]),
        redis_pool=open_redis(settings.redis_dsn),
        on_startup=startup.start_up,
        on_shutdown=startup.shut_down,
        handle_signals=False,
        poll_delay=0.01,
        max_jobs=settings.max_jobs,
        job_completion_wait=settings.grace_s,  # type: ignore[arg-type]  # arq says int, and takes any number
        health_check_interval=5,
        job_serializer=serialize,
        job_deserializer=deserialize,
        **options,
    )
    working = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        worker.handle_sig(2)  # type: ignore[arg-type]  # SIGINT
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await worker.close()
