"""Performs one attempt in a process of its own: read from stdin, its finish written to stdout. See `apart.py`."""

import asyncio
import os
import signal
import sys
import threading
from typing import BinaryIO

import jobs
from service import logs
from service.clocks import Clocks
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.lifecycle import Lifecycle
from service.resources import open_job_resources, open_resources
from service.settings import Settings
from service.worker.apart import FINISH, STARTED
from service.worker.attempt import Attempt
from service.worker.contexts import Contexts


def main() -> None:
    # What a kind prints must not be taken for its finish.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    started = STARTED.validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    finish = asyncio.run(_perform(settings, started))
    answer.write(FINISH.dump_json(finish))
    answer.flush()
    os._exit(0)  # what the kind left running, threads too, ends here


def _end_with_parent(stdin: BinaryIO) -> None:
    """A worker that died has lost its lease: whatever runs on here would be run a second time."""
    stdin.read()
    os._exit(1)


async def _perform(settings: Settings, started: Started) -> Finish:
    catalogue = jobs.load(settings.jobs)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Finish] = loop.create_future()
    attempt = Attempt(started, catalogue[started.kind], on_end=lambda _, finish: ended.set_result(finish))
    async with open_resources(settings, catalogue) as resources, open_job_resources(settings) as job_resources:
        await Clocks(resources.ledger.database, resources.queue.redis).agree_soon()
        lifecycle = Lifecycle(resources.ledger, resources.queue, catalogue, writer=started.worker)
        attempt.begin(Contexts(resources, job_resources, lifecycle).context_of(started))
        loop.add_signal_handler(signal.SIGTERM, attempt.stop, Outcome.INTERRUPTED)
        return await ended


if __name__ == "__main__":
    main()
