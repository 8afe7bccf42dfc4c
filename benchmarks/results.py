"""What a run measured, as JSON; and what changed between two runs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.measures import Spread

FOLDER = Path(__file__).parent / "results"
LATEST = FOLDER / "latest.json"


@dataclass
class Results:
    """`values[case][contender][measure]` has one number a round; `failures[case][contender]` says why there is none.

    `absent[contender]` says why a contender took no part in any case.
    """

    about: dict[str, Any]
    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, contender: str, measured: Mapping[str, float]) -> None:
        by_measure = self.values.setdefault(case, {}).setdefault(contender, {})
        for measure, value in measured.items():
            by_measure.setdefault(measure, []).append(value)

    def fail(self, case: str, contender: str, reason: str) -> None:
        self.failures.setdefault(case, {})[contender] = reason

    def spread(self, case: str, contender: str, measure: str) -> Spread | None:
        values = self.values.get(case, {}).get(contender, {}).get(measure)
        return Spread.of(values) if values else None

    def shown(self, case: Case) -> list[tuple[str, Spread]]:
        """Return the case's main measure, the best contender first or step by step."""
        spreads = {name: self.spread(case.name, name, case.main) for name in self.values[case.name]}
        known = [(name, spread) for name, spread in spreads.items() if spread is not None]
        if not case.in_steps:
            known.sort(key=lambda row: row[1].median, reverse=case.measures[case.main].more_is_better)
        return known

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Results":
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Change:
    """One figure in two runs. `drift` is the yardstick's ratio in the same two runs: what the machine changed."""

    case: str
    contender: str
    measure: str
    before: Spread
    after: Spread
    drift: float | None

    @property
    def ratio(self) -> float:
        return self.after.median / self.before.median if self.before.median else float("nan")


def changes_between(before: Results, after: Results, yardstick: str) -> Iterator[Change]:
    """Return each figure that both runs have."""
    for case, contenders in before.values.items():
        for contender, measures in contenders.items():
            for measure in measures:
                old, new = before.spread(case, contender, measure), after.spread(case, contender, measure)
                if old and new:
                    yield Change(case, contender, measure, old, new, _drift(before, after, case, yardstick, measure))


def _drift(before: Results, after: Results, case: str, yardstick: str, measure: str) -> float | None:
    old, new = before.spread(case, yardstick, measure), after.spread(case, yardstick, measure)
    return new.median / old.median if old and new and old.median else None
