"""Strict lanes while workers are killed: how many jobs start out of order?"""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from benchmarks import over_http
from benchmarks.arena import Arena, PerformanceFailed, arena, order_received, wait_until
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

JOBS, LANES, KILLS = 20_000, 100, 5
_QUICK_JOBS, _QUICK_LANES, _QUICK_KILLS = 1_000, 20, 1
_LIMIT_S = 400.0


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    jobs, lanes, kills = (_QUICK_JOBS, _QUICK_LANES, _QUICK_KILLS) if quick else (JOBS, LANES, KILLS)
    with arena(contender, postgres) as opened, order_received(opened.stamps) as stamps:
        opened.serve()
        opened.work()
        _wait_until_ready(opened)
        started = time.monotonic()
        over_http.enqueue(opened, _jobs(jobs, lanes, contender.limit))
        for kill in range(kills):
            _wait_for_ends(stamps, jobs * (kill + 1) // (kills + 1))
            _kill_one(opened)
        _wait_for_ends(stamps, jobs)
        took_s = time.monotonic() - started
    return {
        "inversions": inversions(stamps, jobs // lanes),
        "repeats": len(stamps) - len(set(stamps)),
        "kills": kills,
        "jobs_per_s": jobs / took_s,
    }


def inversions(stamps: Iterable[int], jobs_of_each: int) -> int:
    """Count the starts before the end of the job ahead in the lane, or after the start of a later one.

    A stamp is twice the job's number at its start, and one more at its end; see the kind `bench_order`.
    """
    count = 0
    ended: dict[int, int] = defaultdict(lambda: -1)
    started: dict[int, int] = defaultdict(lambda: -1)
    for stamp in stamps:
        number, is_end = divmod(stamp, 2)
        lane, place = divmod(number, jobs_of_each)
        if is_end:
            ended[lane] = max(ended[lane], place)
        else:
            count += not started[lane] <= place <= ended[lane] + 1
            started[lane] = max(started[lane], place)
    return count


def _jobs(jobs: int, lanes: int, limit: str) -> Iterator[dict[str, Any]]:
    for number in range(jobs):
        place, lane = divmod(number, lanes)
        options = {"lane": {"key": f"strict:{lane}", "order": "strict"}} if limit == "strict" else {}
        yield {"kind": "bench_order", "args": {"index": lane * (jobs // lanes) + place}, **options}


def _kill_one(opened: Arena) -> None:
    """Kill the oldest worker with its children, and start another, so that the next one to be killed is at work."""
    worker = opened.workers.pop(0)
    os.killpg(worker.pid, signal.SIGKILL)
    opened.work_one()
    _wait_until_ready(opened)


def _wait_until_ready(opened: Arena) -> None:
    wait_until(lambda: all("worker_ready" in opened.last_words(one) for one in opened.workers), "the workers")


def _wait_for_ends(stamps: list[int], count: int) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while len({stamp for stamp in stamps.copy() if stamp % 2}) < count:
        if time.monotonic() > deadline:
            raise PerformanceFailed(f"not {count} jobs had ended after {_LIMIT_S} s")
        time.sleep(0.1)


CASE = Case(
    name="lanes_strict",
    title="Strict order",
    explanation=f"{JOBS:,} jobs in {LANES} strict lanes, two workers, one of which is killed (SIGKILL) and replaced "
    f"{KILLS} times meanwhile. An inversion: a job starts before the one ahead of it has ended, or after a later one "
    "has started. Repeats: stamps of jobs that were performed again after a kill. Beside it, the same without lanes.",
    contenders=[
        replace(POSTLUDE_SQLITE, name="Postlude, strict lanes, SQLite", workers=2, limit="strict"),
        replace(POSTLUDE_POSTGRES, name="Postlude, strict lanes, Postgres", workers=2, limit="strict", in_quick=False),
        replace(POSTLUDE_SQLITE, name="Postlude, no lanes, SQLite", workers=2, in_quick=False),
    ],
    measures={
        "inversions": Measure("inversions", more_is_better=False),
        "kills": Measure("kills"),
        "repeats": Measure("repeats", more_is_better=False),
        "jobs_per_s": Measure("jobs/s, rescues included"),
    },
    main="inversions",
    play=play,
    rounds_at_most=1,
    chapter="lanes",
)
