"""A diamond of 1,000 jobs, 1 then 998 then 1: does it end as soon as as many jobs that wait for nobody?"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from benchmarks.arena import Arena, arena, stamps_received
from benchmarks.cases import Case
from benchmarks.cases.pickup import waits_ms
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values, end_of
from tests.support.servers import PostgresServer

JOBS = 1_000
_WARM_UP_JOBS = 20
_TURNS, _QUICK_TURNS = 5, 3
_LIMIT_S = 60.0
_JOB: Mapping[str, Any] = {"kind": "bench_noop", "args": {}}


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        opened.serve()
        opened.work()
        waits_ms(opened, stamps, 10)
        _take_turns(opened, _WARM_UP_JOBS)
        turns = [_take_turns(opened, JOBS) for _ in range(_QUICK_TURNS if quick else _TURNS)]
    plain_s, diamond_s = map(statistics.median, zip(*turns, strict=True))
    return {"ratio": diamond_s / plain_s, "plain_ms": plain_s * 1000, "diamond_ms": diamond_s * 1000}


def _take_turns(opened: Arena, count: int) -> tuple[float, float]:
    """Return how long this many plain jobs took, and a diamond of as many."""
    plain_s = ends_within_s(opened, "/v1/jobs/batch", {"jobs": [_JOB] * count}, count)
    return plain_s, ends_within_s(opened, "/v1/flows", {"jobs": _diamond(count)}, count)


def ends_within_s(opened: Arena, path: str, body: Mapping[str, Any], count: int) -> float:
    """Enqueue jobs in one request; return how long after it was sent the last one had ended."""
    watch = opened.begin("watch", count, _LIMIT_S)
    opened.answer(watch)
    with httpx.Client(trust_env=False, timeout=_LIMIT_S) as client:  # to make one takes longer than many a request
        sent = time.monotonic()
        client.post(f"http://127.0.0.1:{opened.port}{path}", json=body).raise_for_status()
        samples = opened.answer(watch)
    opened.check(samples[-1][1] >= count, f"{samples[-1][1]} of {count} jobs were done when the time was up")
    return end_of(samples, count) - sent


def _diamond(count: int) -> list[dict[str, Any]]:
    middle = [f"part {number}" for number in range(count - 2)]
    parts = [{"name": name, "after": ["first"], **_JOB} for name in middle]
    return [{"name": "first", **_JOB}, *parts, {"name": "last", "after": middle, **_JOB}]


CASE = Case(
    name="flow_diamond",
    title="A diamond",
    explanation=f"An idle worker; a flow of {JOBS:,} no-op jobs: one, then {JOBS - 2}, then one that waits for all of"
    " them. From the request to the end of the last job, beside as many jobs that wait for nobody in one batch. Both"
    f" have run once with {_WARM_UP_JOBS} jobs; then they take turns, and the median counts.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "ratio": Measure("times the plain jobs", more_is_better=False, digits=2),
        "plain_ms": Measure("plain jobs, ms", more_is_better=False),
        "diamond_ms": Measure("diamond, ms", more_is_better=False),
    },
    main="ratio",
    play=play,
    chapter="flows",
)
