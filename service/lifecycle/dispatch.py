"""Dispatching: putting the ids of recorded jobs on the queue, together, in bounded time, and never in their way."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from service import agreed_time, metrics
from service.ledger.models import NewJob
from service.ledger.reads.dispatching import HORIZON
from service.ledger.states import State
from service.queue import UNREACHABLE, Entry, Queue

log = structlog.get_logger(__name__)

_WITHIN_S = 2.0
_WITHIN_S_WHILE_AWAY = 0.2


class Dispatcher:
    """Puts recorded jobs on the queue. Never raises because of Redis: what it does not take in time, the sweep puts."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._redis_answers = True
        self._entries: list[Entry] = []
        self._callers: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def dispatch(self, jobs: Sequence[NewJob]) -> None:
        """Put newly recorded jobs on the queue; see `put`."""
        entries = [Entry(job.id, job.kind, job.queue, job.run_at, job.priority) for job in jobs]
        if all(job.state is State.QUEUED for job in jobs):  # due already, whatever the time
            await self._put(entries)
        else:
            await self.put(entries)

    async def put(self, waiting: Sequence[Entry]) -> None:
        """Put what is due soon on the queue, in one call with all that is put at this moment."""
        soon = agreed_time.now() + HORIZON
        await self._put([entry for entry in waiting if entry.due_at <= soon])

    async def _put(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        if not self._callers:
            task = asyncio.create_task(self._put_all(), name="dispatch")
            self._tasks.add(task)  # asyncio itself does not keep it
            task.add_done_callback(self._tasks.discard)
        self._entries += entries
        self._callers.append(done := asyncio.get_running_loop().create_future())
        await done

    async def put_anew(self, entries: Sequence[Entry]) -> None:
        """Put replayed jobs on the queue. An id that is left there from before the replay loses its old due time."""
        by_queue: dict[str, list[bytes]] = {}
        for entry in entries:
            by_queue.setdefault(entry.queue, []).append(entry.id.encode())

        async def put() -> None:
            for queue, members in by_queue.items():
                await self._queue.remove(queue, members)
            await self._queue.put(entries)

        await self._in_time(len(entries), put())

    async def _put_all(self) -> None:
        """Put the entries of all who wait, whose jobs one commit has recorded, and wake them."""
        entries, self._entries = self._entries, []
        callers, self._callers = self._callers, []
        try:
            await self._in_time(len(entries), self._queue.put(entries))
        finally:
            for done in callers:
                if not done.done():
                    done.set_result(None)

    async def _in_time(self, count: int, put: Coroutine[Any, Any, None]) -> None:
        """Wait for `put`, but hardly at all for a Redis that did not answer the last time."""
        try:
            async with asyncio.timeout(_WITHIN_S if self._redis_answers else _WITHIN_S_WHILE_AWAY):
                await put
            self._redis_answers = True
        except UNREACHABLE as error:
            self._redis_answers = False
            metrics.dispatch_failures.inc(count)
            reason = str(error) or type(error).__name__
            log.warning("dispatch_failed", jobs=count, error=reason, remedy="the sweep will dispatch them")
