"""Resident memory of a worker: idle, and after many jobs."""

import time
from pathlib import Path

from benchmarks.arena import Arena, PerformanceFailed, arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, TUNED_ARQ, Contender
from benchmarks.measures import Measure, Values
from tests.servers import PostgresServer

_JOBS, _JOBS_QUICK = 1_000_000, 20_000
_PORTION = 10_000
_PORTION_LIMIT_S = 300
_IDLE_S = 5.0


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened:
        opened.work()
        _perform(opened, 100)
        time.sleep(_IDLE_S)
        idle_mb = _resident_mb(opened)
        jobs = _JOBS_QUICK if quick else _JOBS
        levels_mb = [_after(opened) for _ in range(jobs // _PORTION)]
    return {"idle_mb": idle_mb, "first_mb": levels_mb[0], "last_mb": levels_mb[-1], "jobs": jobs}


def _after(opened: Arena) -> float:
    _perform(opened, _PORTION)
    return _resident_mb(opened)


def _perform(opened: Arena, count: int) -> None:
    watch = opened.begin("watch", count, _PORTION_LIMIT_S)
    opened.answer(watch)
    opened.ask("fill", "noop", count)
    if opened.answer(watch, 2 * _PORTION_LIMIT_S)[-1][1] < count:
        raise PerformanceFailed(f"{count} jobs were not done in {_PORTION_LIMIT_S} s")
    watch.wait()


def _resident_mb(opened: Arena) -> float:
    lines = Path(f"/proc/{opened.workers[0].pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


CASE = Case(
    name="memory",
    title="Memory of a worker",
    explanation=f"Resident memory of the worker's process: idle, after {_PORTION:,} jobs, and at the end. (Linux)",
    contenders=[POSTLUDE_SQLITE, POSTLUDE_POSTGRES, TUNED_ARQ],
    measures={
        "idle_mb": Measure("idle, MB", more_is_better=False, digits=1),
        "first_mb": Measure(f"after {_PORTION:,} jobs, MB", more_is_better=False, digits=1),
        "last_mb": Measure("at the end, MB", more_is_better=False, digits=1),
        "jobs": Measure("jobs"),
    },
    main="idle_mb",
    play=play,
    rounds_at_most=1,
)
