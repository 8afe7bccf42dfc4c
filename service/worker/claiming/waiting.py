"""How an idle worker waits for work: for a put, for what comes due next, and now and then for a look all the same."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from datetime import datetime

from service.queue import Queue

# Two commands in so many seconds. Plain arq clients wake nobody: what they put is found by a look at the head.
_LOOK_EVERY_S = 2.0
# Each so many looks also for ids that stand elsewhere: set aside by a worker that does not know their kind, say.
_WIDER_LOOK_EVERY = 2
_SHORTEST_S = 0.002


class Waiting:
    """Waits on `queues`, by Redis' clock, which each claim tells."""

    def __init__(self, queue: Queue, queues: Sequence[str]) -> None:
        self._queue = queue
        self._queues = queues
        self._ahead_s = 0.0

    def note_time(self, redis_now: datetime) -> None:
        """Hear what Redis' clock says."""
        self._ahead_s = redis_now.timestamp() - time.time()

    async def wait(self, stopping: asyncio.Event) -> None:
        """Return when there may be something to claim, or when `stopping` is set. Raises `UNREACHABLE`."""
        stopped = asyncio.create_task(stopping.wait())
        something = asyncio.create_task(self._something_may_be_due())
        try:
            await asyncio.wait({stopped, something}, return_when=asyncio.FIRST_COMPLETED)
            if something.done():
                await something
        finally:
            stopped.cancel()
            something.cancel()

    async def _something_may_be_due(self) -> None:
        for number in itertools.count(1):
            due_ms = await self._queue.next_due_ms(self._queues)
            due_in_s = _LOOK_EVERY_S if due_ms is None else due_ms / 1000 - (time.time() + self._ahead_s)
            if due_in_s <= 0 or await self._queue.woken(self._queues, max(min(due_in_s, _LOOK_EVERY_S), _SHORTEST_S)):
                return
            if number % _WIDER_LOOK_EVERY == 0 and await self._queue.has_out_of_order(self._queues):
                return
