"""One tenant enqueues thousands of jobs, another ten a second later: how long does the second wait?"""

from dataclasses import replace

import httpx

from benchmarks.arena import arena, stamps_received
from benchmarks.callers import BY_KEY, PROCESSES, SLOTS, Calls, many_per_s, waits_behind
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values, percentile
from benchmarks.receiver import SLOW_S
from tests.support.servers import PostgresServer

MANY, FEW = 10_000, 10
_QUICK_SHARE = 4
_LIMIT_S = 60.0


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    first = Calls("first", "127.0.0.1", "slow", MANY // (_QUICK_SHARE if quick else 1))
    second = Calls("second", "127.0.0.1", "slow", FEW)
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        if contender.is_postlude:
            opened.serve()
        waited = waits_behind(opened, httpx.URL(opened.receive()), stamps, first, second, _LIMIT_S)
        return {"p50_ms": percentile(waited, 50), "max_ms": max(waited), "first_per_s": many_per_s(stamps)}


CASE = Case(
    name="lanes_fairness",
    title="Fairness",
    explanation=f"{MANY:,} jobs of one tenant wait when the worker starts; {FEW} of another are enqueued a second "
    f"later. A job is a post that is answered after {SLOW_S} s; {SLOTS} slots, RQ has {PROCESSES} processes. From the "
    f"enqueuer's answer to the arrival of the second tenant's posts (at most {_LIMIT_S:.0f} s are counted). Postlude's "
    "lanes take turns and have no limit; peers have the limits of the case above. The first tenant's rate says what "
    "that costs.",
    contenders=[
        replace(POSTLUDE_SQLITE, name="Postlude, lanes, SQLite", limit="lane"),
        replace(POSTLUDE_POSTGRES, name="Postlude, lanes, Postgres", limit="lane", in_quick=False),
        replace(POSTLUDE_SQLITE, name="Postlude, no lanes"),
        *(replace(one, in_quick=False) for one in BY_KEY),
    ],
    measures={
        "p50_ms": Measure("second tenant, p50 ms", more_is_better=False),
        "max_ms": Measure("second tenant, longest ms", more_is_better=False),
        "first_per_s": Measure("first tenant, jobs/s meanwhile"),
    },
    main="max_ms",
    play=play,
    rounds_at_most=1,
    chapter="lanes",
)
