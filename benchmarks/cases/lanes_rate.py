"""A rate that four workers share, counted at the receiver."""

import time
from dataclasses import replace

import httpx

from benchmarks.arena import arena, stamps_received, wait_until
from benchmarks.callers import Calls
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from benchmarks.tasks import CALLS_PER_S
from tests.support.servers import PostgresServer

WORKERS, SLOTS = 4, 25
SECONDS, _QUICK_SECONDS = 60, 10
_SETTLE_S = 3  # a full bucket, and workers that start one after another
_SPARE = 2


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    seconds = _QUICK_SECONDS if quick else SECONDS
    calls = Calls("first", "127.0.0.1", "hook", (seconds + _SETTLE_S) * CALLS_PER_S * _SPARE)
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        if contender.is_postlude:
            opened.serve()
        calls.enqueue(opened, httpx.URL(opened.receive()), 0)
        opened.work()
        wait_until(lambda: bool(stamps), "the first call")
        begin_s = time.monotonic() + _SETTLE_S
        time.sleep(_SETTLE_S + seconds)
        arrived_s = sorted(at_ns / 1e9 - begin_s for at_ns in stamps.values())
    return measured([at for at in arrived_s if 0 <= at < seconds], seconds)


def measured(arrived_s: list[float], seconds: int) -> Values:
    """Return the figures of calls that arrived, in order, within this many seconds."""
    per_s = len(arrived_s) / seconds
    ends = [sum(at < begin + 1 for at in arrived_s[place:]) for place, begin in enumerate(arrived_s)]
    return {
        "per_s": per_s,
        "off_percent": abs(per_s / CALLS_PER_S - 1) * 100,
        "most_in_1_s": max(ends, default=0),
    }


def _of_four(contender: Contender, name: str, *, in_quick: bool = False) -> Contender:
    return replace(contender, name=name, workers=WORKERS, slots=SLOTS, limit="rate", in_quick=in_quick)


CASE = Case(
    name="lanes_rate",
    title="A shared rate",
    explanation=f"{CALLS_PER_S} posts/s for {WORKERS} workers together, counted at the receiver for {SECONDS} s. "
    f"{_SPARE} times as many wait. A lane's bucket lets through {CALLS_PER_S} at once, so counting begins "
    f"{_SETTLE_S} s after the first. Celery limits each worker by itself, to a quarter.",
    contenders=[
        _of_four(POSTLUDE_SQLITE, "Postlude, a lane's rate, SQLite", in_quick=True),
        _of_four(POSTLUDE_POSTGRES, "Postlude, a lane's rate, Postgres"),
        _of_four(Contender("", "docket"), "docket, RateLimit"),
        _of_four(Contender("", "dramatiq", "calls"), "Dramatiq, BucketRateLimiter"),
        _of_four(Contender("", "huey", "calls"), "Huey, rate_limit"),
        _of_four(Contender("", "celery"), "Celery, rate_limit"),
    ],
    measures={
        "off_percent": Measure("off the rate, %", more_is_better=False, digits=1),
        "per_s": Measure("posts/s", digits=1),
        "most_in_1_s": Measure("most in a second", more_is_better=False),
    },
    main="off_percent",
    play=play,
    rounds_at_most=1,
    chapter="lanes",
)
