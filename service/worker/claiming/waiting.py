"""How an idle worker waits for work: for a put, or for the next due time, with a look now and then all the same."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from service.queue import NOTHING, UNREACHABLE, Left, Queue, Taken

# Two commands in this many seconds. Plain arq clients wake nobody: a look at the head of the queue finds their jobs.
_LOOK_EVERY_S = 2.0
# Every so many looks also check other places, such as ids set aside by a worker that does not know their kind.
_WIDER_LOOK_EVERY = 2
_SHORTEST_S = 0.002


class Waiting:
    """Waits on `queues`, by Redis' clock, which each claim returns."""

    def __init__(self, queue: Queue, queues: Sequence[str]) -> None:
        self._queue = queue
        self._queues = queues
        self._ahead_s = 0.0
        self._left = NOTHING
        self._token: asyncio.Task[bool] | None = None
        self._passing: asyncio.Task[None] | None = None
        self._waits = False

    @property
    def is_idle(self) -> bool:
        """Whether the last claim has left nothing, so that only newly put jobs can be due."""
        return self._waits and self._left == NOTHING

    def note(self, taken: Taken) -> None:
        """Note a claim: Redis' clock, and what it left for lack of room here."""
        self._ahead_s = taken.due_by.timestamp() - time.time()
        self._left = taken.left

    async def wait(self, stopping: asyncio.Event, room_for: Callable[[Left], Coroutine[Any, Any, None]]) -> None:
        """Wait until there may be something to claim, or `stopping` is set. Raises `UNREACHABLE`.

        `room_for` waits until there is room for some of what the last claim left.
        """
        something = asyncio.create_task(self._something_may_be_due())
        others: list[asyncio.Task[Any]] = [asyncio.create_task(stopping.wait())]
        if self._left != NOTHING:
            others.append(asyncio.create_task(room_for(self._left)))
        self._waits = True
        try:
            await asyncio.wait({something, *others}, return_when=asyncio.FIRST_COMPLETED)
            if something.done():
                await something
        finally:
            self._waits = False
            for task in (something, *others):
                task.cancel()

    async def _something_may_be_due(self) -> None:
        for number in itertools.count(1):
            due_ms = await self._queue.next_due_ms(self._queues, self._left)
            due_in_s = _LOOK_EVERY_S if due_ms is None else due_ms / 1000 - (time.time() + self._ahead_s)
            if due_in_s <= 0 or await self._woken(max(min(due_in_s, _LOOK_EVERY_S), _SHORTEST_S)):
                return
            if self._left != NOTHING:  # lanes may be open by now, or a queue resumed
                return
            if number % _WIDER_LOOK_EVERY == 0 and await self._queue.has_out_of_order(self._queues):
                return

    async def _woken(self, within_s: float) -> bool:
        """Wait for a put. A wait that is over goes on in Redis: cutting it off could lose the token of a put."""
        token = self._token or asyncio.create_task(self._queue.woken(self._queues, _LOOK_EVERY_S), name="wake")
        if token is not self._token:
            self._token = token
            token.add_done_callback(self._pass_on)
        await asyncio.wait({token}, timeout=within_s if within_s < _LOOK_EVERY_S else None)
        if not token.done():
            return False
        self._let_go(token)
        return await token

    def _let_go(self, token: asyncio.Task[bool]) -> None:
        if self._token is token:
            self._token = None

    def _pass_on(self, token: asyncio.Task[bool]) -> None:
        """Pass a token that came while this worker was busy on to another worker."""
        if self._waits or token.cancelled() or token.exception() is not None:
            return
        self._let_go(token)
        if token.result():
            self._passing = asyncio.create_task(self._wake_another(), name="wake-another")

    async def _wake_another(self) -> None:
        with contextlib.suppress(*UNREACHABLE):
            await self._queue.wake(self._queues)

    async def close(self) -> None:
        """Stop waiting for good."""
        for task in (self._token, self._passing):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
