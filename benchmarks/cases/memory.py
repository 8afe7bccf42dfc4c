"""Resident memory of a worker: idle, and after many jobs."""

import time
from dataclasses import replace
from pathlib import Path

from benchmarks.arena import Arena, PerformanceFailed, arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

_FIRST = 10_000
_PORTION = 99_000
_QUICK_SHARE = 50
_PORTION_LIMIT_S = 300
_IDLE_S = 3.0


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened:
        opened.work()
        _perform(opened, 100)
        time.sleep(_IDLE_S)
        idle_mb = _resident_mb(opened)
        _perform(opened, _FIRST)
        first_mb = _resident_mb(opened)
        left = contender.jobs // (_QUICK_SHARE if quick else 1) - _FIRST
        for start in range(0, left, _PORTION):
            _perform(opened, min(_PORTION, left - start))
        return {"idle_mb": idle_mb, "first_mb": first_mb, "last_mb": _resident_mb(opened), "jobs": _FIRST + left}


def _perform(opened: Arena, count: int) -> None:
    # Watch before anything is enqueued. That works for Postlude alone: peers count what is left on their queues.
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
    explanation=f"Resident memory of the worker's process: idle, after {_FIRST:,} jobs, and at the end. (Linux)",
    contenders=[
        replace(POSTLUDE_SQLITE, jobs=1_000_000),
        replace(POSTLUDE_POSTGRES, jobs=100_000, in_quick=False),
    ],
    measures={
        "idle_mb": Measure("idle, MB", more_is_better=False, digits=1),
        "first_mb": Measure(f"after {_FIRST:,} jobs, MB", more_is_better=False, digits=1),
        "last_mb": Measure("at the end, MB", more_is_better=False, digits=1),
        "jobs": Measure("jobs"),
    },
    main="idle_mb",
    play=play,
    rounds_at_most=1,
)
