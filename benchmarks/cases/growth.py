"""How much waiting jobs and ended jobs slow down the work at hand."""

from dataclasses import replace

from benchmarks.arena import Arena, arena, stamps_received
from benchmarks.cases import Case, drain, pickup, redis_bytes
from benchmarks.cases.http_enqueue import load
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.grow import finished_id
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

SIZES = {"almost empty": 100, "10 k": 10_000, "100 k": 100_000, "1 M": 1_000_000}
_IN_QUICK = ("almost empty", "10 k")
_GROW_LIMIT_S = 900.0
_ENOUGH = 1_000  # with fewer jobs, the memory that Redis needs anyway would distort the figure
_READ_S = 1.0


def _at(size: str, contender: Contender) -> Contender:
    in_quick = contender == POSTLUDE_SQLITE and size in _IN_QUICK
    return replace(contender, name=f"{contender.name}, {size}", grown=SIZES[size], in_quick=in_quick)


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        grown = grow(opened)
        drained = drain.drain(opened, contender.jobs // (4 if quick else 1), 60)
        opened.serve()
        read = {
            "status_ms": _read_ms(opened, f"/v1/jobs/{finished_id(50)}"),
            "list_ms": _read_ms(opened, "/v1/jobs"),
        }
        waited = pickup.percentiles(pickup.waits_ms(opened, stamps, 30 if quick else 100))
    return {"steady_per_s": drained["steady_per_s"], **waited, **read, **grown}


def grow(opened: Arena) -> Values:
    """Fill the ledger and Redis; return the bytes of a due job in Redis, where there are enough jobs to tell."""
    before = redis_bytes.used(opened)
    argv = [opened.contender.python, "-m", "benchmarks.grow", opened.contender.grown]
    opened.answer(opened.start(argv, answers=True), _GROW_LIMIT_S)
    due = opened.contender.grown // 2
    return {"due_bytes": (redis_bytes.used(opened) - before) / due} if due >= _ENOUGH else {}


def _read_ms(opened: Arena, path: str) -> float:
    return float(load(opened, 1, _READ_S, 0.0, "GET", path)["p50_ms"])


CASE = Case(
    name="growth",
    title="Cost as work grows",
    explanation="So many jobs wait (half are due, on a queue that no worker serves; half are due tomorrow), and as "
    "many have ended. Then come a drain, single jobs, and one client that asks the API.",
    contenders=[_at(size, contender) for contender in (POSTLUDE_SQLITE, POSTLUDE_POSTGRES) for size in SIZES],
    measures={
        "steady_per_s": Measure("drain, jobs/s steady"),
        "p50_ms": Measure("pick-up p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("pick-up p99 ms", more_is_better=False, digits=1),
        "status_ms": Measure("status by id, ms", more_is_better=False, digits=2),
        "list_ms": Measure("first page of the list, ms", more_is_better=False, digits=2),
        "due_bytes": Measure("Redis bytes for a due job", more_is_better=False),
    },
    main="steady_per_s",
    play=play,
    in_steps=True,
    rounds_at_most=1,
)
