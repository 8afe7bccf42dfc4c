"""Jobs that only wait: how close to the ideal 0.8 s do 2,000 sleeps of 0.2 s come, 500 at once?"""

from dataclasses import replace

from benchmarks import tasks
from benchmarks.arena import PerformanceFailed, arena, stamps_received
from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS, POSTGRES_PEER, POSTLUDE_SQLITE, TUNED_ARQ, Contender
from benchmarks.measures import Measure, Values, end_of
from tests.support.servers import PostgresServer

COUNT = 2_000
SLOTS = 500
IDEAL_S = COUNT / SLOTS * tasks.SLEEP_S
_LIMIT_S = 60
_IN_QUICK = (POSTLUDE_SQLITE, TUNED_ARQ, POSTGRES_PEER)


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        opened.ask("fill", "sleep", COUNT)
        watch = opened.begin("watch", COUNT, _LIMIT_S)
        opened.answer(watch)
        opened.work()
        samples = opened.answer(watch)
    if samples[-1][1] < COUNT:
        raise PerformanceFailed(f"{samples[-1][1]} of {COUNT} jobs were done after {_LIMIT_S} s")
    wall_s = end_of(samples, COUNT) - stamps[tasks.FIRST] / 1e9
    return {"wall_s": wall_s, "of_ideal": wall_s / IDEAL_S}


CASE = Case(
    name="io",
    title="I/O-bound",
    explanation=f"{COUNT:,} jobs that sleep {tasks.SLEEP_S} s, {SLOTS} at once: ideal {IDEAL_S} s. From the first "
    "job's start to the last stored outcome.",
    contenders=[
        replace(one, slots=SLOTS, in_quick=one in _IN_QUICK)
        for one in CONTENDERS
        if one.is_async and one.variant != "defaults"
    ],
    measures={
        "wall_s": Measure("seconds", more_is_better=False, digits=2),
        "of_ideal": Measure("times ideal", more_is_better=False, digits=2),
    },
    main="wall_s",
    play=play,
)
