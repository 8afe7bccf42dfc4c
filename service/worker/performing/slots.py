"""Slots: how many attempts run at once, and how many more are prefetched to wait for the slots that come free."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

from service.worker.performing.lately import MOMENT_S, Lately

_MOST_PREFETCHED = 10  # times the slots
# An attempt that waits longer, because the others have become slow, is handed back: another worker may have a slot.
_WAITS_AT_MOST_S = 1.0

# Begins an attempt that has got its slot (true), or tells it to stop waiting for one (false).
Begin = Callable[[bool], object]


class Slots:
    """At most `count` attempts run at once, in the order in which they asked."""

    def __init__(self) -> None:
        self._count: float = math.inf  # arq's own class keeps its own count
        self._taken = 0
        self._held = self._wanted = 0
        self._first: deque[tuple[float, Begin]] = deque()
        self._waiting: deque[tuple[float, Begin]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self.lately = Lately()

    def limit_to(self, count: int) -> None:
        self._count = count

    @property
    def count(self) -> int:
        return int(self._count)

    @property
    def unused(self) -> float:
        """How many attempts could begin at once."""
        return self._count - self._taken

    @property
    def room(self) -> int:
        """How many attempts to start now. Returns 0 while most prefetched attempts are still waiting."""
        prefetched = self.prefetched
        room = self.unused + prefetched - len(self._waiting) - len(self._first)
        return int(room) if room > prefetched / 2 else 0

    @property
    def prefetched(self) -> float:
        """How many attempts beyond the slots may be started now, for the slots that come free within a moment."""
        return min(self.lately.count, _MOST_PREFETCHED * self._count)

    @property
    def soon(self) -> int:
        """How many attempts that ask first would have a slot within a moment."""
        return int(self.unused + self.prefetched - len(self._first))

    def ask(self, begin: Begin, *, first: bool = False) -> None:
        """Call `begin` with true once there is a slot, or with false if none came in time.

        Callers that ask `first` go ahead of the others.
        """
        if self._held:
            self._held -= 1
            begin(True)
        elif self._taken < self._count:
            self._taken += 1
            begin(True)
        else:
            (self._first if first else self._waiting).append((time.monotonic(), begin))
            if self._look is None:
                self._look_in(_WAITS_AT_MOST_S)

    def free(self, kind: str) -> None:
        """Pass the slot of an ended attempt of this kind on to the next one."""
        self.lately.note(kind)
        self._free_one()

    def take(self) -> bool:
        """Take an unused slot for an attempt that is about to be started; return whether there was one."""
        is_unused = self._taken < self._count
        self._taken += is_unused
        return is_unused

    def give_back(self) -> None:
        """Pass on a slot that was taken for an attempt that was not started."""
        self._free_one()

    async def hold(self, count: int) -> int:
        """Hold up to `count` slots for attempts that must begin as soon as they are started; return how many.

        Slots that come free within a moment are held too, ahead of waiting attempts: under a stream of short attempts
        no slot is ever unused.
        """
        self.release()
        self._held = int(min(count, self.unused))
        self._taken += self._held
        self._wanted = count - self._held
        if self._wanted:
            await asyncio.sleep(MOMENT_S)
        self._wanted = 0
        return self._held

    def release(self) -> None:
        """Let go of the held slots."""
        while self._held:
            self._held -= 1
            self._free_one()

    def hand_back(self, waiting_for_s: float = 0.0) -> None:
        """Tell attempts that have waited this long that they get no slot here."""
        since = time.monotonic() - waiting_for_s
        for waiting in (self._first, self._waiting):
            while waiting and waiting[0][0] <= since:
                waiting.popleft()[1](False)

    def _free_one(self) -> None:
        if self._wanted:
            self._wanted -= 1
            self._held += 1
            return
        if waiting := self._first or self._waiting:
            waiting.popleft()[1](True)
        else:
            self._taken -= 1

    def _look_in(self, delay_s: float) -> None:
        self._look = asyncio.get_running_loop().call_later(delay_s, self._hand_back_late)

    def _hand_back_late(self) -> None:
        self._look = None
        self.hand_back(_WAITS_AT_MOST_S)
        if waiting := [*islice(self._first, 1), *islice(self._waiting, 1)]:
            self._look_in(min(since for since, _ in waiting) + _WAITS_AT_MOST_S - time.monotonic())
