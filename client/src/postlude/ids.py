"""The ids that the client makes for its jobs, so that a job sent twice is one job."""

import os
import threading
import time
from uuid import UUID

_RANDOM_BITS = 74
_STEP_BYTES = 4


class IdMaker:
    """Makes UUIDv7s (RFC 9562), each greater than the one before, so jobs sort in the order they were made."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Forget the last id and the lock's holder: a forked process must not continue its parent's ids."""
        self._lock = threading.Lock()
        self._last = 0

    def make(self) -> str:
        now_ms = time.time_ns() // 1_000_000
        fresh = now_ms << _RANDOM_BITS | int.from_bytes(os.urandom(10), "big") >> 6
        with self._lock:
            if fresh <= self._last:  # the same millisecond, or a clock that was set back
                fresh = self._last + 1 + int.from_bytes(os.urandom(_STEP_BYTES), "big")
            self._last = fresh
        return _as_uuid(fresh)


def _as_uuid(number: int) -> str:
    """Spread 122 bits around the version and the variant: 48 of time, 12, and 62."""
    time_ms, upper, lower = number >> 74, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return str(UUID(int=time_ms << 80 | 0x7 << 76 | upper << 64 | 0b10 << 62 | lower))


def id_of(sent: object, noun: str = "job") -> str:
    """Return the id of what stands for a job or a file, which may be its id. Raises `TypeError` and `ValueError`."""
    found = sent if isinstance(sent, str) else getattr(sent, "id", None)
    if not isinstance(found, str):
        raise TypeError(f"{type(sent).__name__!r} is no {noun}: pass the {noun}, or its id as a text.")
    if not found:
        raise ValueError(f"The id of the {noun} is empty: pass the {noun}, or its id.")
    return found


_ids = IdMaker()
if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_ids.start_anew)
new_id = _ids.make
"""Return a new UUIDv7, in time order within this process."""
