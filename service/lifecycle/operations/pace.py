"""The pace of an operation: as many members a second as were asked for, evenly spread, and never more."""

import time

# A slow operation acts four times a second, a fast one in pages of any size.
_STEPS_A_SECOND = 4


class Pace:
    """Says when members have their turn, at `rate` a second; None sets no limit."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at: float | None = None

    def follow(self, rate: float | None) -> None:
        """Change the rate from now on."""
        if rate != self._rate:
            self._rate, self._free_at = rate, None

    def page(self, largest: int) -> int:
        """Return how many members to take at once. Time counts from the first call."""
        if self._rate is None:
            return largest
        self._free_at = self._free_at or time.monotonic()
        return max(1, min(largest, int(self._rate / _STEPS_A_SECOND)))

    def turn_of(self, members: int) -> float:
        """Return when this many further members are due, by the monotonic clock."""
        now = time.monotonic()
        if self._rate is None or self._free_at is None or not members:
            return now
        # Time lost to a slow database is not made up for by a burst.
        self._free_at = max(self._free_at + members / self._rate, now)
        return self._free_at
