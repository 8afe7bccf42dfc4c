"""What work that waits and work that is over cost the work at hand."""

from dataclasses import replace

from benchmarks.arena import Arena, arena
from benchmarks.cases import Case, drain, pickup
from benchmarks.cases.http_enqueue import load
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.servers import PostgresServer

SIZES = {"almost empty": 100, "10 k": 10_000, "100 k": 100_000, "1 M": 1_000_000}
_IN_QUICK = ("almost empty", "10 k")
_GROW_LIMIT_S = 600.0
_READ_S = 2.0


def _at(size: str, contender: Contender) -> Contender:
    return replace(contender, name=f"{contender.name}, {size}", grown=SIZES[size], in_quick=size in _IN_QUICK)


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened:
        grow(opened)
        opened.serve()
        values = {"status_ms": _read_ms(opened, "/v1/jobs/succeeded-50"), "list_ms": _read_ms(opened, "/v1/jobs")}
    with arena(contender, postgres) as opened:
        grow(opened)
        values |= {"steady_per_s": drain.drain(opened, 1_000 if quick else 10_000, 60)["steady_per_s"]}
    with arena(contender, postgres) as opened:
        grow(opened)
        waits_ms = pickup.waits_ms(opened, 40 if quick else 200)
    return values | pickup.percentiles(waits_ms)


def grow(opened: Arena) -> None:
    argv = [opened.contender.python, "-m", "benchmarks.grow", opened.contender.grown]
    opened.answer(opened.start(argv, answers=True), _GROW_LIMIT_S)


def _read_ms(opened: Arena, path: str) -> float:
    return float(load(opened, 1, _READ_S, 0.0, "GET", path)["p50_ms"])


CASE = Case(
    name="growth",
    title="Cost as work grows",
    explanation="As many jobs waiting for tomorrow as finished ones are in the ledger; then the other measurements.",
    contenders=[_at(size, contender) for contender in (POSTLUDE_SQLITE, POSTLUDE_POSTGRES) for size in SIZES],
    measures={
        "steady_per_s": Measure("drain, jobs/s steady"),
        "p50_ms": Measure("pick-up p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("pick-up p99 ms", more_is_better=False, digits=1),
        "status_ms": Measure("status by id, ms", more_is_better=False, digits=2),
        "list_ms": Measure("first page of the list, ms", more_is_better=False, digits=2),
    },
    main="steady_per_s",
    play=play,
    rounds_at_most=1,
)
