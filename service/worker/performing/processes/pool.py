"""A worker's pool of child processes: warm, bounded, and refilled as children die or wear out."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

import structlog

from service.settings import Settings
from service.worker.backoff import outage_waits
from service.worker.performing.processes.child import Child
from service.worker.performing.processes.messages import Setup

log = structlog.get_logger(__name__)


# An attempt that waits longer, because the others have become slow, is handed back, as with slots.
_PATIENCE_S = 1.0


class NoProcess(Exception):
    """No child process could be started for an attempt."""


class AllBusy(Exception):
    """All children have been busy for longer than an attempt waits here."""


class ProcessPool:
    """At most `POSTLUDE_PROCESSES` children, each with one attempt at a time.

    They are started when needed, and stay. A worker that needs none has none.
    """

    def __init__(self, settings: Settings) -> None:
        self.size = settings.most_processes
        self._is_patient = settings.stock_worker  # arq's class claims without asking how many children are free
        self._setup = Setup(settings.jobs, settings.log_level, settings.log_format)
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._waiting: deque[asyncio.Future[Child]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._tidying: set[asyncio.Task[None]] = set()
        self._waits = outage_waits()
        self._wait_s = 0.0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End all children; idle ones in order."""
        self._closed = True
        starting = set(self._starting)
        for task in starting:
            task.cancel()
        if starting:
            await asyncio.wait(starting)
        await asyncio.gather(*(child.end(in_order=child in self._idle) for child in self._children))
        if self._tidying:
            await asyncio.wait(set(self._tidying))

    @property
    def pids(self) -> set[int]:
        """Return the processes of all ready children."""
        return {child.pid for child in self._children}

    async def take(self) -> Child:
        """Wait for a free child. Raises `NoProcess` while none can be started, and `AllBusy`."""
        if self._idle:
            return self._idle.pop()  # the one used last, because its memory is warm
        waiting: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._have_enough()
        try:
            while not waiting.done():
                await asyncio.wait({waiting}, timeout=_PATIENCE_S)
                if not (waiting.done() or self._start_under_way or self._is_patient):
                    raise AllBusy
            return waiting.result()
        except asyncio.CancelledError:
            if waiting.done() and waiting.exception() is None:
                self.give_back(waiting.result())
            raise
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def give_back(self, child: Child) -> None:
        """Give the child, or another one if it cannot be used again, to the next attempt."""
        if child.is_usable:
            self._offer(child)
        else:
            self._replace(child)

    def _offer(self, child: Child) -> None:
        while self._waiting:
            if not (waiting := self._waiting.popleft()).done():
                waiting.set_result(child)
                return
        self._idle.append(child)

    def _replace(self, child: Child) -> None:
        if child not in self._children:
            return
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        tidying = asyncio.create_task(child.end(in_order=False))
        self._tidying.add(tidying)
        tidying.add_done_callback(self._tidying.discard)
        if not self._closed:
            self._start_one()

    def _have_enough(self) -> None:
        missing = min(len(self._waiting), self.size - len(self._children)) - self._start_under_way
        for _ in range(missing):
            self._start_one()

    @property
    def _start_under_way(self) -> int:
        """Return how many children are being started: a start that has just ended is in the set a moment longer."""
        return sum(not starting.done() for starting in self._starting)

    def _start_one(self) -> None:
        starting = asyncio.create_task(self._start())
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        if self._wait_s:
            await asyncio.sleep(self._wait_s)
        try:
            child = await Child.start(self._setup)
        except Exception as error:  # noqa: BLE001 - whatever happens, nobody may wait for ever
            self._wait_s = next(self._waits)
            log.error("process_not_started", reason=str(error), again_in_s=round(self._wait_s, 1))
            self._refuse_waiting(str(error))
            return
        self._waits, self._wait_s = outage_waits(), 0.0
        self._children.add(child)
        child.died.add_done_callback(lambda _died: self._bury(child))
        self._offer(child)

    def _bury(self, child: Child) -> None:
        """Replace a child that died while it was idle.

        A child that died over an attempt comes back with the attempt.
        """
        if child in self._idle and not self._closed:
            log.warning("process_died", pid=child.pid, reason="it was idle")
            child.kill()
            self._replace(child)

    def _refuse_waiting(self, reason: str) -> None:
        """Fail the waiting attempts, unless there is a child that they may still get."""
        if self._children:
            return
        while self._waiting:
            if not (waiting := self._waiting.popleft()).done():
                waiting.set_exception(NoProcess(f"no child process could be started for it: {reason}"))
