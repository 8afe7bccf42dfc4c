"""This checkout beside another revision: the figures that a change to the engine may not cost.

Both play each case right after one another on servers of the same binaries, and take turns at being first. Each round
gives one ratio, so what slows the machine for minutes slows both sides of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks.arena import PerformanceFailed, postgres_server
from benchmarks.cases import Case
from benchmarks.contenders import Contender
from benchmarks.measures import Measure, Spread, Values
from benchmarks.program import load_cases
from tests.support.servers import PostgresServer

# By case, the measures that are compared.
MEASURES = {
    "drain": ("steady_per_s",),
    "pickup": ("p50_ms", "p99_ms"),
    "http": ("requests_per_s", "p99_ms"),
    "memory": ("idle_mb", "last_mb"),
    "cpu": ("enqueue_us", "attempt_us"),
}
_ROUNDS = {"memory": 1}  # it hardly varies, and takes minutes
TOLERATED_LOSS = 0.05


@dataclass(frozen=True)
class Pair:
    """One case, played by one contender in both checkouts, `base` first or last."""

    case: Case
    contender: Contender
    base_first: bool

    def play(self, base: Path, postgres: PostgresServer, *, quick: bool) -> tuple[Values, Values]:
        """Return what the base and this checkout measured. Raises `PerformanceFailed`."""
        here, there = self.contender, replace(self.contender, root=base)
        order = (there, here) if self.base_first else (here, there)
        values = [self.case.play(one, postgres, quick) for one in order]
        return (values[0], values[1]) if self.base_first else (values[1], values[0])


@dataclass(frozen=True)
class Comparison:
    """One measure of one contender: both medians, and by how much this checkout is better, round by round."""

    case: str
    contender: str
    measure: Measure
    base: Spread
    here: Spread
    gain: Spread

    @classmethod
    def of(cls, pair: Pair, key: str, rounds: Sequence[tuple[Values, Values]]) -> "Comparison":
        measure = pair.case.measures[key]
        both = [(base[key], here[key]) for base, here in rounds]
        gains = [here / base if measure.more_is_better else base / here for base, here in both]
        base, here = zip(*both, strict=True)
        return cls(pair.case.name, pair.contender.name, measure, Spread.of(base), Spread.of(here), Spread.of(gains))

    @property
    def remark(self) -> str:
        """Say whether too much was lost, in every round or only in some."""
        if self.gain.median >= 1 - TOLERATED_LOSS:
            return ""
        return "lost" if self.gain.most < 1 else "unclear"


def pairs(only: Sequence[str], rounds: int, *, quick: bool) -> list[Pair]:
    """List what is played, round by round. Raises `ValueError` where a case named is not compared."""
    unknown = set(only) - MEASURES.keys()
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))} is not compared; there are {', '.join(MEASURES)}")
    return [
        Pair(case, contender, base_first=number % 2 == 0)
        for number in range(rounds)
        for case in load_cases(only or tuple(MEASURES))
        if number < _ROUNDS.get(case.name, rounds)
        for contender in case.contenders
        if contender.is_postlude and (contender.in_quick or not quick)
    ]


def compare(base: Path, programme: Sequence[Pair], *, quick: bool) -> Iterator[Comparison]:
    """Play everything; yield the comparisons when all is played. A pair that fails is reported and left out."""
    console = Console(stderr=True)
    played: dict[tuple[str, str], tuple[Pair, list[tuple[Values, Values]]]] = {}
    with postgres_server() as postgres:
        for number, pair in enumerate(programme, 1):
            console.print(f"{number} of {len(programme)}: {pair.case.name}, {pair.contender.name}", markup=False)
            _, rounds = played.setdefault((pair.case.name, pair.contender.name), (pair, []))
            try:
                rounds.append(pair.play(base, postgres, quick=quick))
            except PerformanceFailed as failure:
                console.print(f"failed: {failure}", markup=False)
    for pair, rounds in played.values():
        if rounds:
            yield from (Comparison.of(pair, key, rounds) for key in MEASURES[pair.case.name])
