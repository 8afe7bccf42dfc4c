"""Durable `POST /v1/jobs` against a bare FastAPI endpoint that does nothing; the batch endpoint; and during a drain."""

import json
from dataclasses import replace
from typing import Any

from benchmarks.arena import Arena, arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

CONNECTIONS = 32
BATCH = 1_000
BARE = Contender("bare FastAPI, does nothing", "", own_python=True)
_JOB = {"kind": "bench_stamp", "args": {"index": 1}}
_PACE_S = 0.01


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    seconds = 2.0 if quick else 5.0
    with arena(contender, postgres) as opened:
        opened.serve()
        single = load(opened, CONNECTIONS, seconds, 0.0, "POST", "/v1/jobs", json.dumps(_JOB))
        values = {"requests_per_s": single["per_s"], "p99_ms": single["p99_ms"]}
        if not contender.is_postlude:
            return values
        batch = load(opened, 2, seconds, 0.0, "POST", "/v1/jobs/batch", json.dumps({"jobs": [_JOB] * BATCH}))
        return values | {"batch_jobs_per_s": batch["per_s"] * BATCH, **_while_it_drains(opened, seconds)}


def _while_it_drains(opened: Arena, seconds: float) -> Values:
    """Enqueue at a steady pace while a worker drains all that was enqueued before."""
    opened.work()
    during = load(opened, 1, seconds, _PACE_S, "POST", "/v1/jobs", json.dumps(_JOB))
    return {"drain_p99_ms": during["p99_ms"]}


def load(opened: Arena, *parts: object) -> dict[str, Any]:
    """Run the load generator against the API of the arena; see `benchmarks.load`. Raises `PerformanceFailed`."""
    argv = [opened.contender.python, "-m", "benchmarks.load", opened.port, *parts]
    answer: dict[str, Any] = opened.answer(opened.start(argv, answers=True))
    opened.check(not answer["not_2xx"], f"{answer['not_2xx']} answers were not 2xx")
    return answer


CASE = Case(
    name="http",
    title="Enqueue over HTTP",
    explanation=f"`POST /v1/jobs`, committed before the 202, over {CONNECTIONS} kept-alive connections, beside an "
    "endpoint that does nothing, with a similar model, served by plain uvicorn. Batches of "
    f"{BATCH:,} over 2 connections. "
    "During a drain: one client at 100 requests/s while a worker drains what the first two measurements enqueued.",
    contenders=[BARE, POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "requests_per_s": Measure("requests/s"),
        "p99_ms": Measure("p99 ms", more_is_better=False, digits=1),
        "batch_jobs_per_s": Measure("jobs/s in batches"),
        "drain_p99_ms": Measure("p99 ms during a drain", more_is_better=False, digits=1),
    },
    main="requests_per_s",
    play=play,
)
