"""How many calls a principal may make in a window of time: a token bucket for each, in this process.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

import math
import time
from collections.abc import Callable

from service.access.errors import RateLimited

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_MOST = 10_000


class Rates:
    """`limit` reads like `600/min`. A bucket starts full, and holds as many calls as the limit names."""

    def __init__(self, limit: str, clock: Callable[[], float] = time.monotonic) -> None:
        count, _, unit = limit.partition("/")
        self._count, self._window_s = int(count), _SECONDS[unit]
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # what was left, and when
        self.policy = f'"default";q={self._count};w={self._window_s}'

    def take(self, principal_id: str) -> str:
        """Count a call; return the value of the `RateLimit` header. Raises `RateLimited`."""
        now, per_s = self._clock(), self._count / self._window_s
        left, at = self._buckets.pop(principal_id, (float(self._count), now))
        left = min(float(self._count), left + (now - at) * per_s)
        if len(self._buckets) >= _MOST:
            del self._buckets[next(iter(self._buckets))]  # the one that has been quiet the longest
        self._buckets[principal_id] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            wait_s = max(1, math.ceil((1 - left) / per_s))
            raise RateLimited(f"More than {self._count} calls in {self._window_s} s. Wait {wait_s} s.", wait_s)
        return f'"default";r={int(left - 1)};t={math.ceil((self._count - left + 1) / per_s)}'
