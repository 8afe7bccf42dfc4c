"""Growing delays for wrong keys and passwords, counted by the address they come from."""

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

_LONGEST_S = 300.0
_FORGOTTEN_AFTER_S = 900.0
_MOST = 10_000


class Throttle:
    """Counts failures by name in bounded memory. After the first few, each doubles the time until the next try.

    A name is an address, or an address with a user's name, so one caller never holds up others.
    """

    def __init__(self, *, free: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = free
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}  # how many, and when the last one was

    def wait_s(self, name: str) -> int:
        """Return how many seconds `name` has to wait before it may try again; 0 if it may."""
        count, last = self._failures.get(name, (0, 0.0))
        if count < self._free:
            return 0
        delay_s = min(_LONGEST_S, 2.0 ** (min(count - self._free, 20)))
        return max(0, math.ceil(last + delay_s - self._clock()))

    def left(self, name: str) -> int:
        """Return how many more times `name` may fail before it has to wait."""
        return max(0, self._free - self._failures.get(name, (0, 0.0))[0])

    def failed(self, name: str) -> None:
        now = self._clock()
        count, last = self._failures.pop(name, (0, now))
        if now - last > _FORGOTTEN_AFTER_S:
            count = 0
        if len(self._failures) >= _MOST:
            del self._failures[next(iter(self._failures))]  # the one that has been quiet the longest
        self._failures[name] = (count + 1, now)

    def succeeded(self, name: str) -> None:
        self._failures.pop(name, None)


def place_of(address: str | None) -> str:
    """Return what counts as one place: for IPv6 the /64 network, in which one caller has any number of addresses."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)
