"""What a waiting job costs in Redis."""

from dataclasses import replace

from benchmarks.arena import Arena, arena
from benchmarks.cases import Case
from benchmarks.contenders import CONTENDERS, POSTLUDE_SQLITE, TUNED_ARQ, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

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
    opened.ask("fill", task, 100)  # so that keys which only the first jobs create are there already
    before = used(opened)
    opened.ask("fill", task, _JOBS)
    return (used(opened) - before) / _JOBS


def used(opened: Arena) -> int:
    """Return Redis' memory, without the passing buffers of its clients and its log."""
    with opened.redis() as redis:
        memory = redis.info("memory")
        return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])


CASE = Case(
    name="redis_bytes",
    title="Redis memory",
    explanation=f"How much memory Redis takes for each of {_JOBS:,} due jobs that wait.",
    contenders=[
        POSTLUDE_SQLITE,
        *(replace(one, in_quick=one is TUNED_ARQ) for one in CONTENDERS if one.name in _COMPARED),
    ],
    measures={
        "due_bytes": Measure("bytes for a due job", more_is_better=False),
        "tomorrow_bytes": Measure("bytes for a job due tomorrow", more_is_better=False),
    },
    main="due_bytes",
    play=play,
    rounds_at_most=1,
)
