"""The deadline of writes: callers get an answer in time, whatever the ledger's database does."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from service.errors import FateUnknown
from service.ledger.deadline import ANSWER_WITHIN_S

T = TypeVar("T")

_LOOK_EVERY_S = 0.1


class WriteDeadline:
    """Ends waits that take too long, with one timer for all: a timer for each would cost a tenth of an enqueue.

    Only for calls that await group commit, dispatch and the hooks around enqueues. All of these let go of a cancelled
    caller at once, so a call needs no task of its own, which would cost as much again.
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, writing: Coroutine[Any, Any, T], *, within_s: float = ANSWER_WITHIN_S) -> T:
        """Return what `writing` returns. Raises `FateUnknown` if it takes longer than `within_s`."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._due[task] = loop.time() + within_s
        if self._timer is None:
            self._timer = loop.call_later(_LOOK_EVERY_S, self._look)
        try:
            return await writing
        except asyncio.CancelledError as error:
            was_late = task not in self._due
            if was_late and task.uncancel() <= cancelled_before:
                raise FateUnknown(f"The ledger's database did not confirm the write within {within_s:g} s") from error
            raise
        finally:
            self._due.pop(task, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for task, due in list(self._due.items()):
            if due <= now:
                del self._due[task]
                task.cancel()
        self._timer = loop.call_later(_LOOK_EVERY_S, self._look) if self._due else None
