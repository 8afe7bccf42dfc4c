"""CPU of Postlude's own code: an enqueue in process, and an attempt alone. Steadier than rates on a busy machine."""

from dataclasses import replace
from pathlib import Path

from benchmarks import own_cpu
from benchmarks.arena import arena
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

_ROUNDS = 15
# This checkout's file, run over the packages and the code of the contender's.
_MEASURING = f"import runpy; runpy.run_path({str(Path(own_cpu.__file__))!r}, run_name='__main__')"


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    return measured(contender, postgres, _ROUNDS)


def measured(contender: Contender, postgres: PostgresServer, rounds: int) -> Values:
    with arena(contender, postgres) as opened:
        values: Values = opened.answer(opened.start([contender.python, "-c", _MEASURING, rounds], answers=True))
        return values


CASE = Case(
    name="cpu",
    title="CPU of Postlude's own code",
    explanation="`POST /v1/jobs` from 64 callers in the process of the API, without sockets, threads that write "
    "included; and an attempt of a job that does nothing, over a ledger that answers at once. The least of "
    f"{_ROUNDS} rounds.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "enqueue_us": Measure("µs for an enqueue", more_is_better=False, digits=1),
        "attempt_us": Measure("µs for an attempt", more_is_better=False, digits=1),
    },
    main="enqueue_us",
    play=play,
)
