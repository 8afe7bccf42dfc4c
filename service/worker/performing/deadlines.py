"""The timeouts of all attempts, behind one timer: few attempts reach theirs, and a timer for each costs CPU."""

import asyncio
from typing import Protocol


class Timed(Protocol):
    def time_out(self) -> None:
        """Called when the deadline has come."""


class Deadlines:
    """Tells attempts, on the loop, when their time is up."""

    def __init__(self) -> None:
        self._due_at: dict[Timed, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, timed: Timed, at: float) -> None:
        """Tell `timed` at a time of the loop's clock, unless it is removed before."""
        self._due_at[timed] = at
        if self._timer is None or at < self._timer.when():
            self._look_at(at)

    def remove(self, timed: Timed) -> None:
        self._due_at.pop(timed, None)

    def _look_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._tell_due)

    def _tell_due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for timed in [timed for timed, at in self._due_at.items() if at <= now]:
            del self._due_at[timed]
            # In a callback of its own, so that an error in one does not affect the others.
            asyncio.get_running_loop().call_soon(timed.time_out)
        if self._due_at:
            self._look_at(min(self._due_at.values()))
