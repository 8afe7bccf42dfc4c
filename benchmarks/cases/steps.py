"""Jobs made of steps: how many steps a second does one worker keep, and what do plain jobs make beside?"""

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

JOBS, STEPS_OF_EACH = 1_000, 50
_QUICK_JOBS = 400
_PLAIN_JOBS_FOR_EACH = 20
_LIMIT_S = 60


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    jobs = _QUICK_JOBS if quick else JOBS
    plain_per_s = _drained(contender, postgres, jobs * _PLAIN_JOBS_FOR_EACH, "bench_noop", {})
    jobs_per_s = _drained(contender, postgres, jobs, "bench_steps", {"count": STEPS_OF_EACH})
    return {"steps_per_s": jobs_per_s * STEPS_OF_EACH, "plain_per_s": plain_per_s}


def _drained(contender: Contender, postgres: PostgresServer, count: int, kind: str, args: dict[str, Any]) -> float:
    with arena(contender, postgres) as opened:
        api = opened.serve()
        over_http.enqueue(opened, _jobs(count, kind, args))
        api.terminate()
        return watched(opened, count, _LIMIT_S)["steady_per_s"]


def _jobs(count: int, kind: str, args: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for _ in range(count):
        yield {"kind": kind, "args": args}


CASE = Case(
    name="steps",
    title="Steps",
    explanation=f"{JOBS:,} jobs of {STEPS_OF_EACH} steps, one after the other, a hundred jobs at once in one worker; "
    "each step is written before the next one begins. Beside: no-op jobs, one right before the other.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "steps_per_s": Measure("steps/s, steady"),
        "plain_per_s": Measure("no-op jobs/s, steady"),
    },
    main="steps_per_s",
    play=play,
    rounds_at_most=3,
    chapter="flows",
)
