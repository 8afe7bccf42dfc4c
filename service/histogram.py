"""Histograms of durations: how many took no longer than each bound. Pure; workers fill them, pages read quantiles."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

# In seconds, from half a millisecond to a week; the last count is of all longer durations.
BOUNDS: tuple[float, ...] = (0.0005, *(step * 10.0**power for power in range(-3, 6) for step in (1, 1.5, 2, 3, 5, 7)))
SIZE = len(BOUNDS) + 1


def place_of(seconds: float) -> int:
    """Return which of the counts a duration belongs to."""
    return bisect_left(BOUNDS, seconds)


def added(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Add up two histograms."""
    return [first + second for first, second in zip(one, other, strict=True)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Estimate the duration below which `share` of all lie, spread evenly within their bounds; None without any.

    Returns the last bound for longer durations: nothing else is known about them.
    """
    rank = share * sum(counts)
    if not rank:
        return None
    below = 0
    for place, count in enumerate(counts[:-1]):
        if below + count >= rank:
            low = BOUNDS[place - 1] if place else 0.0
            return low + (BOUNDS[place] - low) * (rank - below) / count
        below += count
    return BOUNDS[-1]


def no_longer_than(counts: Sequence[int], bound: float) -> int:
    """Count the durations no longer than one of the `BOUNDS`."""
    return list(accumulate(counts))[BOUNDS.index(bound)]
