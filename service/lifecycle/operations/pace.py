"""As many members a second as were asked for, evenly, and never more."""

import asyncio
import time

# A slow operation acts four times a second, a fast one in pages as large as it likes.
_STEPS_A_SECOND = 4


class Pace:
    """Holds back members to `rate` a second; None lets them go as fast as they come."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at: float | None = None

    def page(self, largest: int) -> int:
        """Return how many members to take at once. Time counts from the first call on."""
        if self._rate is None:
            return largest
        self._free_at = self._free_at or time.monotonic()
        return max(1, min(largest, int(self._rate / _STEPS_A_SECOND)))

    async def wait(self, members: int) -> None:
        """Wait until so many members have become due since the last ones."""
        if self._rate is not None and self._free_at is not None and members:
            now = time.monotonic()
            # What a slow database took is not made up for by a burst.
            self._free_at = max(self._free_at + members / self._rate, now)
            await asyncio.sleep(self._free_at - now)
