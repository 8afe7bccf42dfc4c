"""What counting costs: `python -m benchmarks.counters`.

Fills a queue with jobs of `update_stats`, lets one worker drain it, and checks every total. Prints jobs a second beside
those of empty jobs in the same run.
"""

import argparse
from collections.abc import Callable
from typing import Any

import httpx

from benchmarks import over_http
from benchmarks.arena import Arena, arena, postgres_server
from benchmarks.cases.drain import watched
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from tests.support.servers import PostgresServer

_LIMIT_S = 60
Args = Callable[[int], dict[str, Any]]
_VIEW = {"event": "view"}
# By what is counted. The first is empty jobs.
_SORTS: dict[str, Args | None] = {
    "empty jobs": None,
    "one hot counter": lambda _: {**_VIEW, "subject": "home"},
    "1,000 counters": lambda number: {**_VIEW, "subject": f"page {number % 1_000}"},
    "one hot counter, with ids": lambda number: {**_VIEW, "subject": "home", "id": str(number)},
    "one hot counter, with 10,000 people": lambda number: {
        **_VIEW,
        "subject": "home",
        "unique": f"user {number % 10_000}",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40_000)
    wanted = parser.parse_args()
    with postgres_server() as postgres:
        for contender in (POSTLUDE_SQLITE, POSTLUDE_POSTGRES):
            print(contender.name)
            for name, args in _SORTS.items():
                print(f"  {_rate(contender, postgres, wanted.jobs, args):8,.0f} jobs/s  {name}", flush=True)


def _rate(contender: Contender, postgres: PostgresServer, count: int, args: Args | None) -> float:
    with arena(contender, postgres) as opened:
        api = opened.serve()
        jobs = (_job(args, number) for number in range(count))
        over_http.enqueue(opened, jobs)
        api.terminate()
        api.wait()
        rate = watched(opened, count, _LIMIT_S)["steady_per_s"]
        if args is not None:
            _check(opened, count)
        return rate


def _job(args: Args | None, number: int) -> dict[str, Any]:
    return {"kind": "bench_noop"} if args is None else {"kind": "update_stats", "args": args(number)}


def _check(opened: Arena, count: int) -> None:
    opened.serve()
    answer = httpx.get(f"http://127.0.0.1:{opened.port}/v1/stats", params=_VIEW, trust_env=False).raise_for_status()
    total = answer.json()["total"]
    opened.check(total == count, f"{total:,} of {count:,} were counted")


if __name__ == "__main__":
    main()
