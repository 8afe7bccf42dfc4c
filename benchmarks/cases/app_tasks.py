"""A request that adds one background task: FastAPI's own, which is forgotten with its process, and a durable one."""

from typing import Any

from benchmarks.arena import Arena, arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

CONNECTIONS = 32
OWN = Contender("FastAPI's own class, not durable", "", own_python=True)


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    seconds = 3.0 if quick else 6.0
    with arena(contender, postgres) as opened:
        if contender.is_postlude:
            opened.serve()
        port = opened.serve_app("task_app", "jobs" if contender.is_postlude else "own")
        alone, many = _load(opened, port, 1, seconds), _load(opened, port, CONNECTIONS, seconds)
    return {
        "alone_p50_ms": alone["p50_ms"],
        "alone_p99_ms": alone["p99_ms"],
        "alone_per_s": alone["per_s"],
        "requests_per_s": many["per_s"],
        "p50_ms": many["p50_ms"],
        "p99_ms": many["p99_ms"],
    }


def _load(opened: Arena, port: int, connections: int, seconds: float) -> dict[str, Any]:
    argv = [opened.contender.python, "-m", "benchmarks.load", port, connections, seconds, 0.0, "POST", "/tasks/7"]
    answer: dict[str, Any] = opened.answer(opened.start(argv, answers=True))
    opened.check(not answer["not_2xx"], f"{answer['not_2xx']} answers were not 2xx")
    return answer


CASE = Case(
    name="app_tasks",
    title="A request with one background task",
    explanation="One process of uvicorn, whose endpoint calls `add_task` once with two arguments: over one kept-alive "
    f"connection, and over {CONNECTIONS}. With Postlude the job is committed before the response starts; no worker "
    "runs. FastAPI's own class runs the function, which does nothing.",
    contenders=[OWN, POSTLUDE_SQLITE, POSTLUDE_POSTGRES],
    measures={
        "alone_p50_ms": Measure("alone, p50 ms", more_is_better=False, digits=1),
        "alone_p99_ms": Measure("alone, p99 ms", more_is_better=False, digits=1),
        "alone_per_s": Measure("alone, requests/s"),
        "requests_per_s": Measure(f"{CONNECTIONS} at once, requests/s"),
        "p50_ms": Measure("p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("p99 ms", more_is_better=False, digits=1),
    },
    main="requests_per_s",
    play=play,
    chapter="apps",
)
