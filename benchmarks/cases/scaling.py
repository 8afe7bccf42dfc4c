"""One worker and two on the same queue, and what the API accepts beside them."""

import json
from dataclasses import replace

from benchmarks.arena import arena
from benchmarks.cases import Case
from benchmarks.cases.drain import drain
from benchmarks.cases.http_enqueue import load
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, TUNED_ARQ, Contender
from benchmarks.measures import Measure, Values
from tests.support.servers import PostgresServer

_CONNECTIONS = 32
_JOB = {"kind": "bench_stamp", "args": {"index": 1}}


def _with_workers(contender: Contender, workers: int) -> Contender:
    name = f"{contender.name}, {workers} worker{'s' * (workers > 1)}"
    return replace(contender, name=name, workers=workers, in_quick=False)


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened:
        values = {"steady_per_s": drain(opened, contender.jobs, 60)["steady_per_s"]}
        if contender.is_postlude:
            opened.serve()
            accepted = load(opened, _CONNECTIONS, 3.0, 0.0, "POST", "/v1/jobs", json.dumps(_JOB))
            values["accepted_per_s"] = accepted["per_s"]
    return values


CASE = Case(
    name="scaling",
    title="Two workers",
    explanation="The drain with one worker process and with two on the same queue. Then what the API accepts over "
    f"{_CONNECTIONS} connections, while the workers perform what it accepts.",
    contenders=[_with_workers(one, n) for one in (POSTLUDE_SQLITE, POSTLUDE_POSTGRES, TUNED_ARQ) for n in (1, 2)],
    measures={
        "steady_per_s": Measure("drain, jobs/s steady"),
        "accepted_per_s": Measure("accepted over HTTP/s meanwhile"),
    },
    main="steady_per_s",
    play=play,
    rounds_at_most=2,
    in_steps=True,
)
