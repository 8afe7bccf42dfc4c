"""The time that all processes agree on: a server's, by this machine's clock and how far it is off.

Code that decides by time asks here, never the machine's own clock: one machine's clock may be an hour ahead, and jobs
would expire or tick an hour early for all. A process has one agreement, as it has one clock; `clocks.py` measures.
"""

import time
from datetime import UTC, datetime, timedelta

# A smaller difference is not worth a step.
_NOISE_S = 0.01
# NTP moves a clock slowly. A clock that moved by more was set, and is wrong until it is measured again.
_JUMP_S = 0.5
# Runs on while the machine sleeps, and is never set; on macOS the monotonic clock does the same.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class _Agreement:
    """How far this machine's clock is ahead of its steady one, and behind the servers'."""

    def __init__(self) -> None:
        # One value: other threads read the time, too.
        self.held_s = (time.time() - time.clock_gettime(_STEADY), 0.0)


_agreement = _Agreement()


def now() -> datetime:
    """Return the agreed time; until a server has been heard, this machine's own."""
    reached_s, behind_s = _agreement.held_s
    own_s = time.time()
    jumped_s = own_s - time.clock_gettime(_STEADY) - reached_s
    if abs(jumped_s) > _JUMP_S:
        own_s -= jumped_s
    return datetime.fromtimestamp(own_s + behind_s, UTC)


def has_jumped() -> bool:
    """Return whether this machine's clock has been set since the servers' clocks were last measured."""
    return abs(time.time() - time.clock_gettime(_STEADY) - _agreement.held_s[0]) > _JUMP_S


def agree(behind: timedelta, within: timedelta = timedelta(0)) -> None:
    """Agree on how far this machine's clock is behind the servers' now, measured to `within`.

    A difference below `within` makes no step: a busy machine measures badly, and no job should wait for that.
    """
    reached_s, behind_s = _agreement.held_s
    jumped_s = time.time() - time.clock_gettime(_STEADY) - reached_s
    held_s = behind_s - (jumped_s if abs(jumped_s) > _JUMP_S else 0.0)
    measured_s = behind.total_seconds()
    is_same = abs(measured_s - held_s) <= max(within.total_seconds(), _NOISE_S)
    _agreement.held_s = (reached_s + jumped_s, held_s if is_same else measured_s)
