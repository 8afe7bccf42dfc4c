"""What a waiting job costs in Redis."""

from benchmarks.arena import Arena, arena
from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.servers import PostgresServer

_JOBS = 10_000
_COMPARED = ("tuned arq", "SAQ", "Huey")


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened:
        values = {"due_bytes": _bytes_per_job(opened, "noop")}
    if contender.is_postlude:
        with arena(contender, postgres) as opened:
            values["tomorrow_bytes"] = _bytes_per_job(opened, "tomorrow")
    return values


def _bytes_per_job(opened: Arena, task: str) -> float:
    opened.ask("fill", task, 100)  # what the first jobs bring along
    before = _used(opened)
    opened.ask("fill", task, _JOBS)
    return (_used(opened) - before) / _JOBS


def _used(opened: Arena) -> int:
    with opened.redis() as redis:
        return int(redis.info("memory")["used_memory"])


CASE = Case(
    name="redis_bytes",
    title="Redis memory",
    explanation=f"What Redis' memory grows by for each of {_JOBS:,} jobs that are due and wait.",
    contenders=[POSTLUDE_SQLITE, *(one for one in CONTENDERS if one.name in _COMPARED)],
    measures={
        "due_bytes": Measure("bytes for a due job", more_is_better=False),
        "tomorrow_bytes": Measure("bytes for a job due tomorrow", more_is_better=False),
    },
    main="due_bytes",
    play=play,
    rounds_at_most=1,
)
