"""Ten thousand lanes of ten jobs: how fast do they drain, beside the same jobs without lanes?"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks import over_http
from benchmarks.arena import arena
from benchmarks.cases import Case
from benchmarks.cases.drain import watched
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

LANES, JOBS_OF_EACH = 10_000, 10
_QUICK_LANES = 1_000
_LIMIT_S = 120


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    lanes = _QUICK_LANES if quick else LANES
    plain, turns, limited = (_drained(contender, postgres, lanes, form) for form in ("plain", "turns", "limited"))
    return {
        "ratio": turns["steady_per_s"] / plain["steady_per_s"],
        "limited_ratio": limited["steady_per_s"] / plain["steady_per_s"],
        "plain_per_s": plain["steady_per_s"],
        "lanes_per_s": turns["steady_per_s"],
        "enqueue_ratio": turns["fill_per_s"] / plain["fill_per_s"],
    }


def _drained(contender: Contender, postgres: PostgresServer, lanes: int, form: str) -> Values:
    count = lanes * JOBS_OF_EACH
    with arena(contender, postgres) as opened:
        api = opened.serve()
        fill_s = over_http.enqueue(opened, _jobs(lanes, form))
        api.terminate()
        return {**watched(opened, count, _LIMIT_S), "fill_per_s": count / fill_s}


def _jobs(lanes: int, form: str) -> Iterator[dict[str, Any]]:
    for number in range(lanes * JOBS_OF_EACH):
        yield {"kind": "bench_noop", "args": {}, **_options(form, f"tenant:{number % lanes}")}


def _options(form: str, key: str) -> dict[str, Any]:
    match form:
        case "turns":
            return {"lane": key}
        case "limited":
            return {"lane": {"key": key, "concurrency": 1}}
        case _:
            return {}


CASE = Case(
    name="lanes_drain",
    title="Ten thousand lanes",
    explanation=f"{LANES:,} lanes of {JOBS_OF_EACH} no-op jobs beside the same jobs without lanes, one right after the "
    "other: jobs a second between a tenth and nine tenths of them. The lanes take turns; then each has "
    "`concurrency: 1` as well.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "ratio": Measure("in lanes, times the speed without", digits=2),
        "limited_ratio": Measure("with concurrency 1, times", digits=2),
        "plain_per_s": Measure("without lanes, jobs/s"),
        "lanes_per_s": Measure("in lanes, jobs/s"),
        "enqueue_ratio": Measure("enqueue, times", digits=2),
    },
    main="ratio",
    play=play,
    rounds_at_most=2,
    chapter="lanes",
)
