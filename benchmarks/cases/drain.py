"""No-op jobs that already wait: how many a second end with their outcome stored?"""

import time

from benchmarks.arena import Arena, PerformanceFailed, arena
from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.measures import Measure, Values, end_of, steady_rate
from tests.support.servers import PostgresServer

_LIMIT_S = 60
_QUICK_LIMIT_S = 20
_QUICK_SHARE = 4


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count = contender.jobs // (_QUICK_SHARE if quick else 1)
    with arena(contender, postgres) as opened:
        return drain(opened, count, _QUICK_LIMIT_S if quick else _LIMIT_S)


def drain(opened: Arena, count: int, limit_s: float) -> Values:
    """Enqueue no-op jobs, and drain them."""
    fill_s = opened.ask("fill", "noop", count)
    return {**watched(opened, count, limit_s), "fill_per_s": count / fill_s}


def watched(opened: Arena, count: int, limit_s: float) -> Values:
    """Start the workers on what waits and watch. After `limit_s` seconds, what is done by then counts."""
    watch = opened.begin("watch", count, limit_s)
    opened.answer(watch)
    started = time.monotonic()
    opened.work()
    samples = opened.answer(watch)
    done = samples[-1][1]  # less than `count` when the time was up
    if done < count / 100:
        raise PerformanceFailed(f"{done} of {count} jobs were done when the time was up")
    return {
        "jobs_per_s": done / (end_of(samples, done) - started),
        "steady_per_s": steady_rate(samples, done),
    }


CASE = Case(
    name="drain",
    title="Drain",
    explanation="No-op jobs are enqueued before the worker starts; each ends with its outcome stored. Steady: between "
    "a tenth and nine tenths of them, without the worker's start.",
    contenders=CONTENDERS,
    measures={
        "steady_per_s": Measure("jobs/s, steady"),
        "jobs_per_s": Measure("jobs/s, with the worker's start"),
        "fill_per_s": Measure("enqueued/s by the library itself"),
    },
    main="steady_per_s",
    play=play,
)
