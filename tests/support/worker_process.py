"""A worker as a process of its own, as arq's CLI runs it, to see how it ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import Signals

from service.settings import Settings
from tests.faults.system import WORKER, Process
from tests.support.processes import environment
from tests.support.running import eventually


@asynccontextmanager
async def worker_process(settings: Settings, folder: Path, *options: str) -> AsyncIterator[Process]:
    """Run a worker with `settings`; killed at the end of the block if it still runs."""
    worker = Process((*WORKER, *options), environment() | settings.variables(), folder / "worker.log")
    worker.start()
    try:
        yield worker
    finally:
        worker.send(Signals.SIGKILL)
        await worker.ended(30)


async def registered(worker: Process) -> None:
    async def ready() -> bool:
        assert worker.status is None, worker.log.read_text()
        return worker.said("worker_ready")

    await eventually(ready, 60)
