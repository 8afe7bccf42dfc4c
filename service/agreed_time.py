"""The time that all processes agree on: a server's, by this machine's clock and how far it is off.

Whoever decides by time asks here, never the machine's own clock: that of one machine may be an hour ahead, and jobs
would expire or tick an hour early for all. One for the process, as its clock is; `clocks.py` measures.
"""

import time
from datetime import UTC, datetime, timedelta

# What is not worth a step.
_NOISE_S = 0.01
# NTP moves a clock slowly. What moves it by more has set it, and it is wrong until it is measured again.
_JUMP_S = 0.5
# Goes on while the machine sleeps, and is never set; on macOS the monotonic clock does the same.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class _Agreement:
    """How far this machine's clock is ahead of its steady one, and behind the servers'."""

    def __init__(self) -> None:
        # One value: other threads read the time, too.
        self.held_s = (time.time() - time.clock_gettime(_STEADY), 0.0)


_agreement = _Agreement()


def now() -> datetime:
    """Return the agreed time; before the first word of a server, this machine's own."""
    reached_s, behind_s = _agreement.held_s
    own_s = time.time()
    jumped_s = own_s - time.clock_gettime(_STEADY) - reached_s
    if abs(jumped_s) > _JUMP_S:
        own_s -= jumped_s
    return datetime.fromtimestamp(own_s + behind_s, UTC)


def has_jumped() -> bool:
    """Whether this machine's clock has been set since the servers' were last heard of."""
    return abs(time.time() - time.clock_gettime(_STEADY) - _agreement.held_s[0]) > _JUMP_S


def agree(behind: timedelta, within: timedelta = timedelta(0)) -> None:
    """Hear how far this machine's clock is behind the servers' at this moment, measured to `within`.

    Time makes no step for less than that: a busy machine measures badly, and no job is to wait for it.
    """
    reached_s, behind_s = _agreement.held_s
    jumped_s = time.time() - time.clock_gettime(_STEADY) - reached_s
    held_s = behind_s - (jumped_s if abs(jumped_s) > _JUMP_S else 0.0)
    measured_s = behind.total_seconds()
    is_same = abs(measured_s - held_s) <= max(within.total_seconds(), _NOISE_S)
    _agreement.held_s = (reached_s + jumped_s, held_s if is_same else measured_s)
