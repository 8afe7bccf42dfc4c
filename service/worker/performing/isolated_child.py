"""Performs one attempt in a process of its own, over the socket that is its stdin. See `isolated.py`."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import traceback
from functools import partial

import jobs
from jobs.kit.steps import Given
from service import agreed_time, logs
from service.clocks import Clocks
from service.errors import LedgerUnavailable
from service.features import FEATURES
from service.job_resources import open_job_resources
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.reads.workers import wishes_of
from service.ledger.records.stacks import TakenStack, record_stacks
from service.ledger.states import Outcome
from service.lifecycle.lifecycle import Lifecycle
from service.resources import open_resources
from service.settings import Settings
from service.worker.exits import Names, run_through_exits
from service.worker.performing import stack
from service.worker.performing.contexts import Contexts
from service.worker.performing.deadlines import Deadlines
from service.worker.performing.in_process import InProcessAttempt
from service.worker.performing.isolated import FINISH, HANDED, LENGTH_BYTES, framed
from service.worker.performing.processes.memory import limited
from service.worker.performing.recorded_log import RecordedLog
from service.worker.performing.threads import JobThreads

_TELL_EVERY_S = 0.5
# Less than the worker waits for this process to end.
_LAST_LINES_WITHIN_S = 0.7


def main() -> None:
    worker = _take_stdin()
    handed = HANDED.validate_json(_read(worker, int.from_bytes(_read(worker, LENGTH_BYTES), "big")))
    threading.Thread(target=_end_with_worker, args=(worker,), daemon=True).start()
    settings = Settings()
    logs.configure(settings.log_level, settings.log_format)
    try:
        _run(settings, handed, worker)
    except BaseException:  # noqa: BLE001 - asyncio would clean up first, and wait for what the kind left behind
        traceback.print_exc()
    os._exit(1)


def _run(settings: Settings, handed: tuple[Started, Given], worker: socket.socket) -> None:
    loop = asyncio.new_event_loop()
    loop.set_default_executor(JobThreads(1))
    attempts: list[InProcessAttempt] = []

    def kind_exited(attempt: Names | None, error: BaseException) -> bool:
        for one in attempts if attempt is not None else ():
            loop.call_soon(one.exit, error)
        return attempt is not None

    run_through_exits(loop, loop.create_task(_perform(settings, handed, worker, attempts)), kind_exited)


def _take_stdin() -> socket.socket:
    """Move the socket away from stdin, so that processes started by the kind neither inherit it nor read from it."""
    worker = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return worker


def _read(worker: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        if not (more := worker.recv(size - len(read))):
            os._exit(1)  # the worker has already died
        read += more
    return read


def _end_with_worker(worker: socket.socket) -> None:
    """End with the worker: a dead worker has lost its lease, so the job would run twice."""
    with contextlib.suppress(OSError):
        worker.recv(1)
    os._exit(1)


async def _perform(
    settings: Settings, handed: tuple[Started, Given], worker: socket.socket, attempts: list[InProcessAttempt]
) -> None:
    started, given = handed
    catalogue = jobs.load(settings.jobs)
    kind = limited(catalogue[started.kind])
    async with (
        open_resources(settings, catalogue, features=FEATURES) as resources,
        open_job_resources(resources) as job_resources,
    ):
        await Clocks(resources.ledger.database, resources.queue.redis).agree_soon()
        hooks = resources.hooks
        lifecycle = Lifecycle(
            resources.ledger,
            resources.queue,
            catalogue,
            writer=started.worker,
            hooks=hooks,
            check_queue=resources.check_queue,
        )
        context = Contexts(resources, job_resources, lifecycle).context_of(started, kind, given)
        attempt = InProcessAttempt(
            started, kind, context, deadlines=Deadlines(), hooks=hooks, max_crashes=settings.max_crashes
        )
        attempts.append(attempt)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attempt.stop, Outcome.INTERRUPTED)
        recorded_log = RecordedLog(resources.ledger, catalogue)
        with recorded_log.keeping.listening():
            telling = asyncio.create_task(_tell_on(recorded_log, resources.ledger, attempt))
            finish = await attempt.run()
        # Answer before anything else, and end: whatever the kind left behind, threads included, must not undo its
        # success.
        worker.sendall(framed(FINISH.dump_json(finish)))
        telling.cancel()
        if recorded_log.keeping.has_any:
            await recorded_log.close(within_s=_LAST_LINES_WITHIN_S)
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        os._exit(0)


async def _tell_on(recorded_log: RecordedLog, ledger: Ledger, attempt: InProcessAttempt) -> None:
    """Serve readers while the attempt runs: record what it logs, and its stack if somebody asks."""
    while True:
        await asyncio.sleep(_TELL_EVERY_S)
        with contextlib.suppress(LedgerUnavailable):
            await recorded_log.record()
            await _tell_stack(ledger, attempt)


async def _tell_stack(ledger: Ledger, attempt: InProcessAttempt) -> None:
    started = attempt.started
    async with ledger.read() as connection:
        wishes = await wishes_of(connection, started.worker)
    if (started.id, started.attempt) in wishes.stacks:
        taken = TakenStack(started.id, started.attempt, stack.told(await attempt.stack() or ()))
        await ledger.database.run(partial(record_stacks, taken=[taken], at=agreed_time.now()))


if __name__ == "__main__":
    main()
