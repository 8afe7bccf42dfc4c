"""An idle worker, single jobs: how long after the enqueuer's answer does the job start? What does idling cost?"""

import time
from collections.abc import Sequence

from benchmarks.arena import Arena, arena, stamps_received, wait_until
from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.measures import Measure, Values, percentile
from tests.support.servers import PostgresServer

_WARM_UP_JOBS = 10


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count, idle_s = (30, 2.0) if quick else (100, 4.0)
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        if contender.is_postlude:
            opened.serve()
        opened.work()
        return {**percentiles(waits_ms(opened, stamps, count)), "idle_commands_per_s": _idle_commands(opened, idle_s)}


def percentiles(waited_ms: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": percentile(waited_ms, 50), "p99_ms": percentile(waited_ms, 99)}


def waits_ms(opened: Arena, stamps: dict[int, int], count: int) -> list[float]:
    """Return how long `count` jobs waited, after a warm-up; negative where one started before the answer."""
    opened.ask("trickle", _WARM_UP_JOBS)
    wait_until(lambda: len(stamps) == _WARM_UP_JOBS, "the worker")
    stamps.clear()
    enqueued = opened.ask("trickle", count)
    wait_until(lambda: len(stamps) == count, "all jobs to start")
    return [(stamps[index] - at_ns) / 1e6 for index, at_ns in enqueued]


def _idle_commands(opened: Arena, for_s: float) -> float:
    """Return the Redis commands a second of an idle worker, those inside scripts included."""
    with opened.redis() as redis:
        before = redis.info("stats")["total_commands_processed"]
        time.sleep(for_s)
        # Minus the first INFO, which Redis counts only after it has answered.
        return float(redis.info("stats")["total_commands_processed"] - before - 1) / for_s


CASE = Case(
    name="pickup",
    title="Pick-up",
    explanation="An idle worker; single jobs at random intervals of 20 to 80 ms. From the enqueuer's answer (Postlude: "
    "the 202 of its HTTP API; others: their Python client's return) to the first line of the job.",
    contenders=CONTENDERS,
    measures={
        "p50_ms": Measure("p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("p99 ms", more_is_better=False, digits=1),
        "idle_commands_per_s": Measure("Redis commands/s when idle", more_is_better=False, digits=1),
    },
    main="p50_ms",
    play=play,
    rounds_at_most=2,
)
