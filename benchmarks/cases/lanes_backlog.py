"""A lane with a long backlog, or many lanes that are held: how long do other jobs wait?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from benchmarks import over_http
from benchmarks.arena import Arena, arena, stamps_received, wait_until
from benchmarks.cases import Case
from benchmarks.cases.pickup import percentiles
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

JOBS, HELD_LANES, JOBS_OF_EACH = 100_000, 1_000, 10
_QUICK_SHARE = 10
_WARM_UP_JOBS = 10


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count = 50 if quick else 200
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        opened.serve()
        opened.work()
        _waits(opened, stamps, _WARM_UP_JOBS, {})
        free = _waits(opened, stamps, count, {})
        if contender.limit == "long":
            over_http.enqueue(opened, _long(JOBS // (_QUICK_SHARE if quick else 1)))
        else:
            over_http.enqueue(opened, _held())
        laneless = _waits(opened, stamps, count, {})
        other = _waits(opened, stamps, count, {"lane": "other"})
    return {
        "laneless_more_ms": laneless["p99_ms"] - free["p99_ms"],
        "other_more_ms": other["p99_ms"] - free["p99_ms"],
        **{f"free_{name}": value for name, value in free.items()},
        **{f"laneless_{name}": value for name, value in laneless.items()},
        **{f"other_{name}": value for name, value in other.items()},
    }


def _waits(opened: Arena, stamps: dict[int, int], count: int, options: Mapping[str, Any]) -> Values:
    """Return the pick-up of single jobs."""
    stamps.clear()
    jobs = [{"kind": "bench_stamp", "args": {"index": index}, **options} for index in range(count)]
    answered = over_http.trickle(opened, jobs)
    wait_until(lambda: len(stamps) == count, "all jobs to start")
    return percentiles([(stamps[index] - at_ns) / 1e6 for index, at_ns in enumerate(answered)])


def _long(count: int) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {"kind": "bench_noop", "args": {}, "lane": {"key": "long", "concurrency": 1}}


def _held() -> Iterator[dict[str, Any]]:
    """Yield jobs of lanes that let one job through and then none for an hour."""
    for number in range(HELD_LANES * JOBS_OF_EACH):
        lane = {"key": f"held:{number % HELD_LANES}", "rate": {"limit": 1, "per": 3600}}
        yield {"kind": "bench_noop", "args": {}, "lane": lane}


def _behind(contender: Contender, limit: str, what: str) -> Contender:
    return replace(contender, name=f"{contender.name}, {what}", limit=limit, in_quick=contender == POSTLUDE_SQLITE)


CASE = Case(
    name="lanes_backlog",
    title="Behind a backlog",
    explanation=f"Pick-up by an idle worker; then while a lane with `concurrency: 1` works off {JOBS:,} no-op "
    f"jobs, or {HELD_LANES:,} lanes of {JOBS_OF_EACH} jobs are held by their rate: of jobs without a lane, and of jobs "
    "in another lane. More: the difference of the p99.",
    contenders=[
        _behind(one, limit, what)
        for one in (POSTLUDE_SQLITE, POSTLUDE_POSTGRES)
        for limit, what in (("long", "a long lane"), ("held", "held lanes"))
    ],
    measures={
        "laneless_more_ms": Measure("without a lane, p99: more ms", more_is_better=False, digits=1),
        "other_more_ms": Measure("in another lane, p99: more ms", more_is_better=False, digits=1),
        "free_p50_ms": Measure("no backlog, p50 ms", more_is_better=False, digits=1),
        "free_p99_ms": Measure("p99", more_is_better=False, digits=1),
        "laneless_p50_ms": Measure("without a lane, p50", more_is_better=False, digits=1),
        "laneless_p99_ms": Measure("p99", more_is_better=False, digits=1),
        "other_p50_ms": Measure("in another lane, p50", more_is_better=False, digits=1),
        "other_p99_ms": Measure("p99", more_is_better=False, digits=1),
    },
    main="laneless_more_ms",
    play=play,
    rounds_at_most=2,
    in_steps=True,
    chapter="lanes",
)
