"""Slots: how many attempts run at once, and how many more are prefetched to wait for the slots that come free."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

# Attempts that end within a moment would leave slots empty for the ledger's round trips. So as many more are started
# as have ended in such a moment lately, and these wait for the slots that will be free by then. With half of it, groups
# on a busy machine were half as large, and a job cost up to a quarter more CPU.
_MOMENT_S = 0.2
_MOST_PREFETCHED = 10  # times the slots
# Attempts in lanes hold places there while they wait, so fewer of them do. Claims of no more than the slots would let
# each round of a worker wait for two commits: a third as many short jobs a second.
_MOST_SOON = 4  # times the slots
# An attempt that waits longer, because the others have become slow, is handed back: another worker may have a slot.
_WAITS_AT_MOST_S = 1.0

# Begins an attempt that has got its slot (true), or is not to wait for one any longer (false).
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
        self._moment = 0
        self._ended = self._ended_before = 0

    def limit_to(self, count: int) -> None:
        self._count = count

    @property
    def moment(self) -> int:
        """The number of this moment."""
        return int(time.monotonic() / _MOMENT_S)

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
        return min(self._ended_lately(), _MOST_PREFETCHED * self._count)

    @property
    def soon(self) -> int:
        """How many attempts that ask first would have a slot within a moment."""
        return int(self.unused + min(self._ended_lately(), _MOST_SOON * self._count) - len(self._first))

    def ask(self, begin: Begin, *, first: bool = False) -> None:
        """Call `begin` with true once there is a slot, or with false when none came in time.

        Who asks `first` goes ahead of who does not.
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

    def free(self) -> None:
        """Pass the slot of an attempt that is over on to the next one."""
        self._ended_lately()
        self._ended += 1
        self._free_one()

    async def hold(self, count: int) -> int:
        """Hold up to `count` slots for attempts that must begin as soon as they are started; return how many.

        Slots that come free within a moment count, before the attempts that wait for one: under a stream of short
        attempts no slot is ever unused.
        """
        self.release()
        self._held = int(min(count, self.unused))
        self._taken += self._held
        self._wanted = count - self._held
        if self._wanted:
            await asyncio.sleep(_MOMENT_S)
        self._wanted = 0
        return self._held

    def release(self) -> None:
        """Let go of the slots that are held."""
        while self._held:
            self._held -= 1
            self._free_one()

    def hand_back(self, waiting_for_s: float = 0.0) -> None:
        """Tell the attempts that have waited so long that they get no slot here."""
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

    def _ended_lately(self) -> int:
        """Count the attempts that ended in this moment, or in the one before if those were more."""
        moment = self.moment
        if moment != self._moment:
            self._ended_before = self._ended if moment == self._moment + 1 else 0
            self._moment, self._ended = moment, 0
        return max(self._ended, self._ended_before)
