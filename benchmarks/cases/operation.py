"""An operation over a hundred thousand jobs, beside the same action asked for job by job."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx

from benchmarks import over_http
from benchmarks.arena import Arena, arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

JOBS, _QUICK_JOBS = 100_000, 5_000
ONE_BY_ONE, CALLERS = 1_000, 16
_ENDED = ("succeeded", "stopped", "failed")
_LOOK_EVERY_S = 0.1
_LIMIT_S = 300


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count = _QUICK_JOBS if quick else JOBS
    with arena(contender, postgres) as opened, _client(opened) as http:
        opened.serve()
        over_http.enqueue(opened, [_job("members")] * count)
        over_http.enqueue(opened, [_job("singles")] * ONE_BY_ONE)
        opened.work()
        one_by_one = _one_by_one(opened, http)
        members = {action: _carried_out(opened, http, action, count) for action in ("cancel", "replay")}
        return {
            **{f"{action}_per_s": per_s for action, per_s in members.items()},
            "one_by_one_per_s": one_by_one,
            "ratio": members["cancel"] / one_by_one,
        }


def _job(tag: str) -> dict[str, Any]:
    return {"kind": "bench_aside", "args": {}, "delay": 86_400, "tags": [tag]}


def _carried_out(opened: Arena, http: httpx.Client, action: str, count: int) -> float:
    """Carry out an operation; return members a second, from the first to the last, as it tells them."""
    answer = http.post("/v1/operations", json={"action": action, "filter": {"tag": "members"}}).raise_for_status()
    operation, deadline = answer.json(), time.monotonic() + _LIMIT_S
    while operation["state"] not in _ENDED:
        opened.check(time.monotonic() < deadline, f"{action} took longer than {_LIMIT_S} s")
        time.sleep(_LOOK_EVERY_S)
        operation = http.get(f"/v1/operations/{operation['id']}").raise_for_status().json()
    opened.check(operation["done"] == count, f"{action} was not done on every job: {operation}")
    began, over = (datetime.fromisoformat(operation[name]) for name in ("started_at", "finished_at"))
    return count / (over - began).total_seconds()


def _one_by_one(opened: Arena, http: httpx.Client) -> float:
    """Cancel jobs by a request for each, over several connections at once; return jobs a second."""
    found = http.get("/v1/jobs", params={"tag": "singles", "limit": 1000}).raise_for_status().json()
    ids = [job["id"] for job in found["jobs"]]
    began = time.monotonic()
    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(lambda some: _cancel(opened, some), [ids[first::CALLERS] for first in range(CALLERS)]))
    return len(ids) / (time.monotonic() - began)


def _cancel(opened: Arena, ids: Sequence[str]) -> None:
    with _client(opened) as http:
        for job_id in ids:
            http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()


def _client(opened: Arena) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{opened.port}", trust_env=False, timeout=60)


CASE = Case(
    name="operation",
    title="An operation over many jobs",
    explanation=f"One operation over {JOBS:,} scheduled jobs: members a second, from first to last, as it tells "
    "them itself, unpaced, with one worker. First they are cancelled, then replayed (onto a queue that nobody "
    f"works, so that none runs). Beside it {ONE_BY_ONE:,} jobs are cancelled by a request for each, over {CALLERS} "
    "connections.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "cancel_per_s": Measure("cancelled/s"),
        "replay_per_s": Measure("replayed/s"),
        "one_by_one_per_s": Measure("cancelled one by one, jobs/s"),
        "ratio": Measure("times one by one", digits=1),
    },
    main="cancel_per_s",
    play=play,
    rounds_at_most=2,
)
