"""What can be measured, and the statistics of several measurements. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = tuple[float, int]
Values = Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """One figure of a case: its column's title, and whether more is better."""

    title: str
    more_is_better: bool = True
    digits: int = 0


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    @property
    def relative(self) -> float:
        """Half the distance from least to most, as a share of the median."""
        return (self.most - self.least) / 2 / self.median if self.median else 0.0


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` of `values` lie, by linear interpolation."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def steady_rate(samples: Sequence[Sample], count: int) -> float:
    """Return jobs a second between a tenth and nine tenths of `count`, without the start and the last stragglers."""
    reached = [sample for sample in samples if sample[1] >= count * 0.1]
    first = reached[0]
    last = next(sample for sample in reached if sample[1] >= count * 0.9)
    if last is first:  # most jobs ended between two samples
        first = max(sample for sample in samples if sample[0] < last[0])
    return (last[1] - first[1]) / (last[0] - first[0])


def end_of(samples: Sequence[Sample], count: int) -> float:
    """Return when `count` jobs were done."""
    return next(at for at, done in samples if done >= count)
