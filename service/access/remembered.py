"""A cache for what is looked up all the time and may be two seconds old."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from service.errors import LedgerUnavailable

V = TypeVar("V")

# Refreshed in the background after the first time, and no longer returned after the second.
_FRESH_FOR_S = 1.0
_HOLDS_FOR_S = 2.0
_MOST = 10_000


class Remembered(Generic[V]):
    """Remembers what `read` returned for each name, so that nobody waits for a name in constant use.

    A change anywhere takes effect here within two seconds. None is not remembered: anybody may ask for any name.
    """

    def __init__(self, read: Callable[[str], Awaitable[V | None]]) -> None:
        self._read = read
        self._known: dict[str, tuple[float, V]] = {}
        self._reading: dict[str, asyncio.Task[V | None]] = {}

    def recall(self, name: str) -> V | None:
        """Return what is known, if it is not too old."""
        known = self._known.get(name)
        if known is None:
            return None
        age_s = time.monotonic() - known[0]
        if age_s < _FRESH_FOR_S:
            return known[1]
        if age_s >= _HOLDS_FOR_S:
            return None
        self._look_up(name)
        return known[1]

    async def of(self, name: str) -> V | None:
        """Return what is known, or look it up. Raises what `read` raises."""
        known = self.recall(name)
        return known if known is not None else await asyncio.shield(self._look_up(name))

    async def anew(self, name: str) -> V | None:
        """Look it up whatever is known; others get the known value meanwhile. Raises what `read` raises."""
        return await asyncio.shield(self._look_up(name))

    def forget(self, name: str) -> None:
        """Look it up again for the next caller: it has changed here."""
        self._known.pop(name, None)
        self._reading.pop(name, None)

    async def close(self) -> None:
        """Wait for the look-ups under way."""
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _look_up(self, name: str) -> asyncio.Task[V | None]:
        task = self._reading.get(name)
        if task is None:
            task = self._reading[name] = asyncio.create_task(self._read_one(name), name="look-up")
            task.add_done_callback(_note_error)
        return task

    async def _read_one(self, name: str) -> V | None:
        began = time.monotonic()
        task = asyncio.current_task()
        try:
            found = await self._read(name)
            if self._reading.get(name) is task:
                self._remember(name, began, found)
            return found
        finally:
            if self._reading.get(name) is task:
                del self._reading[name]

    def _remember(self, name: str, began: float, found: V | None) -> None:
        self._known.pop(name, None)
        if found is not None:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[name] = (began, found)


def _note_error(task: "asyncio.Task[object]") -> None:
    """Keep asyncio from reporting an outage when no caller waits any more: the next caller gets the error."""
    if not task.cancelled() and not isinstance(task.exception(), LedgerUnavailable | None):
        task.get_loop().call_exception_handler({"message": "a look-up failed", "exception": task.exception()})
