"""Which started attempts run now, and which wait for a slot."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable

from service.ledger.models import Started

# Attempts that end within a moment would leave slots empty for the ledger's round trips. So as many more are started
# as have ended in such a moment lately, and these wait for the slots that will be free by then.
_AHEAD_S = 0.1
_MOST_AHEAD = 10  # times the slots
# What waits longer, because attempts have become slow, is handed back, for another worker may have a slot.
_WAITS_AT_MOST_S = 1.0


class Slots:
    """At most `count` attempts run at once, in the order in which they came."""

    def __init__(self, run: Callable[[Started], None], hand_back: Callable[[Started], None]) -> None:
        self.count: float = math.inf  # arq's own class keeps its own count
        self._run = run
        self._hand_back = hand_back
        self._taken = 0
        self._held = self._wanted = 0
        self._waiting: deque[tuple[float, Started]] = deque()
        self._look: asyncio.TimerHandle | None = None
        self._moment = 0
        self._ended = self._ended_before = 0

    @property
    def free(self) -> float:
        """How many could begin at once."""
        return self.count - self._taken

    @property
    def waiting(self) -> list[Started]:
        """What is started, and waits for a slot."""
        return [started for _, started in self._waiting]

    @property
    def room(self) -> int:
        """How many to start now. None while slots are taken and most of those started ahead still wait."""
        ahead = min(self._ended_lately(), _MOST_AHEAD * self.count)
        room = self.free + ahead - len(self._waiting)
        return int(room) if room > ahead / 2 else 0

    def take(self, started: Started) -> None:
        """Run an attempt as soon as there is a slot; at once where one is held."""
        if self._held:
            self._held -= 1
            self._run(started)
        elif self._taken < self.count:
            self._taken += 1
            self._run(started)
        else:
            self._waiting.append((time.monotonic(), started))
            if self._look is None:
                self._look_in(_WAITS_AT_MOST_S)

    def end(self) -> None:
        """An attempt has ended: its slot goes to the next one."""
        self._ended_lately()
        self._ended += 1
        self._free_one()

    async def hold(self, count: int) -> int:
        """Hold up to `count` slots for attempts that must begin as soon as they are started; return how many.

        Those that end within a moment count, before what waits: under a stream of short attempts no slot is ever free.
        """
        self.release()
        self._held = int(min(count, self.free))
        self._taken += self._held
        self._wanted = count - self._held
        if self._wanted:
            await asyncio.sleep(_AHEAD_S)
        self._wanted = 0
        return self._held

    def release(self) -> None:
        """Let go of the slots that are held."""
        while self._held:
            self._held -= 1
            self._free_one()

    def _free_one(self) -> None:
        if self._wanted:
            self._wanted -= 1
            self._held += 1
        elif self._waiting:
            self._run(self._waiting.popleft()[1])
        else:
            self._taken -= 1

    def hand_back(self, waiting_for_s: float = 0.0) -> None:
        """Hand back what has waited so long for a slot."""
        since = time.monotonic() - waiting_for_s
        while self._waiting and self._waiting[0][0] <= since:
            self._hand_back(self._waiting.popleft()[1])

    def _look_in(self, delay_s: float) -> None:
        self._look = asyncio.get_running_loop().call_later(delay_s, self._hand_back_late)

    def _hand_back_late(self) -> None:
        self._look = None
        self.hand_back(_WAITS_AT_MOST_S)
        if self._waiting:
            self._look_in(self._waiting[0][0] + _WAITS_AT_MOST_S - time.monotonic())

    def _ended_lately(self) -> int:
        """Count what has ended in this moment, or in the one before where that was more."""
        moment = int(time.monotonic() / _AHEAD_S)
        if moment != self._moment:
            self._ended_before = self._ended if moment == self._moment + 1 else 0
            self._moment, self._ended = moment, 0
        return max(self._ended, self._ended_before)
