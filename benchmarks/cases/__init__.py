"""One file for each question. A case plays one contender once, and returns one number for each of its measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer


@dataclass(frozen=True)
class Case:
    """`play(contender, postgres, quick)` measures once. `main` is the measure that the chart shows.

    The best contender is shown first. With `in_steps`, the contenders keep the order in which they are listed.
    `chapter` says where docs/performance.md shows it; see `benchmarks.report`.
    """

    name: str
    title: str
    explanation: str
    contenders: Sequence[Contender]
    measures: Mapping[str, Measure]
    main: str
    play: Callable[[Contender, PostgresServer, bool], Values]
    rounds_at_most: int = 100
    in_steps: bool = False
    chapter: str = "engine"
