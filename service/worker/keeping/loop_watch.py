"""Watches the event loop from another thread: a kind that blocks it is named, and a dead loop ends its process."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from service.ledger.leases import BLOCKED_AFTER_S

log = structlog.get_logger(__name__)

# Beyond the longest timeout of the running attempts: after that, nothing can bring the loop back.
DEAD_AFTER_S = 60.0
# A look that comes later than this was itself held up: the whole process stood still, not only the loop.
_LONGEST_LOOK_S = 2.0
_STACK_LINES = 12


@dataclass(frozen=True, slots=True)
class Running:
    """What the loop is busy with: an attempt and its timeout in seconds."""

    job_id: str
    kind: str
    timeout_s: float


class LoopWatch:
    """Watches whether the loop turns. Call `look()` now and then from another thread; create it on the loop.

    `lag_s` is how long the loop has been seen blocked, `turn_s` how long it took to turn when last asked.
    `on_blocked` gets the task that has not let the loop turn since the last look; `end` ends the process.
    """

    def __init__(
        self,
        running: Callable[[], Sequence[Running]],
        end: Callable[[], None],
        on_blocked: Callable[[asyncio.Task[Any] | None, float], None] = lambda _task, _for_s: None,
    ) -> None:
        self.lag_s = 0.0
        self._running = running
        self._end = end
        self._on_blocked = on_blocked
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self.turn_s = 0.0
        self._asked_at_s: float | None = None

    @property
    def blocked(self) -> bool:
        return self.lag_s >= BLOCKED_AFTER_S

    def look(self, elapsed_s: float) -> bool:
        """Ask the loop for a turn, `elapsed_s` after the last look; return whether it began or ceased to be blocked."""
        before = self.blocked
        if self._asked_at_s is not None:
            self.lag_s += min(elapsed_s, _LONGEST_LOOK_S)
            self._on_blocked(asyncio.current_task(self._loop), elapsed_s)
        else:
            if before:
                log.info("loop_turns_again", blocked_s=round(self.lag_s, 1))
            self.lag_s = 0.0
            self._asked_at_s = time.perf_counter()
            self._loop.call_soon_threadsafe(self._answer)
        if self.blocked and not before:
            log.error("loop_blocked", running=self._kinds(), where=self._stack(), remedy="use `await ctx.thread(...)`")
        if self.lag_s >= DEAD_AFTER_S + max((one.timeout_s for one in self._running()), default=0.0):
            log.critical("loop_dead", silent_s=round(self.lag_s), running=self._kinds())
            self._end()
        return self.blocked is not before

    def _answer(self) -> None:
        assert self._asked_at_s is not None
        self.turn_s = time.perf_counter() - self._asked_at_s
        self._asked_at_s = None

    def _kinds(self) -> dict[str, int]:
        kinds: dict[str, int] = {}
        for one in self._running():
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
        return kinds

    def _stack(self) -> str:
        """Return the innermost lines of the loop's thread."""
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way to another thread's stack
        return "".join(traceback.format_stack(frame)[-_STACK_LINES:])
