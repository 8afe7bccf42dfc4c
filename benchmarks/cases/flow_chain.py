"""A chain of 100 jobs, each after the one before: how long is a link, beside the pick-up of a lone job?"""

from dataclasses import replace
from typing import Any

from benchmarks.arena import arena, stamps_received
from benchmarks.cases import Case
from benchmarks.cases.flow_diamond import ends_within_s
from benchmarks.cases.pickup import waits_ms
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values, percentile
from tests.support.servers import PostgresServer

LINKS = 100
_WARM_UP_LINKS = 10


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        opened.serve()
        opened.work()
        pickup_ms = percentile(waits_ms(opened, stamps, 30 if quick else 100), 50)
        ends_within_s(opened, "/v1/flows", {"jobs": _chain()[:_WARM_UP_LINKS]}, _WARM_UP_LINKS)
        link_ms = ends_within_s(opened, "/v1/flows", {"jobs": _chain()}, LINKS) * 1000 / LINKS
    return {"pickups": link_ms / pickup_ms, "link_ms": link_ms, "pickup_ms": pickup_ms}


def _chain() -> list[dict[str, Any]]:
    job = {"kind": "bench_noop", "args": {}}
    later = [{"name": f"{number}", "after": [f"{number - 1}"], **job} for number in range(1, LINKS)]
    return [{"name": "0", **job}, *later]


CASE = Case(
    name="flow_chain",
    title="A chain",
    explanation=f"An idle worker; a flow of {LINKS} no-op jobs, each after the one before. From the request to the end"
    " of the last job, for each link; beside the pick-up of single jobs right before. Both after a warm-up of ten"
    " jobs.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "pickups": Measure("pick-ups a link", more_is_better=False, digits=2),
        "link_ms": Measure("ms a link", more_is_better=False, digits=1),
        "pickup_ms": Measure("pick-up, p50 ms", more_is_better=False, digits=1),
    },
    main="pickups",
    play=play,
    chapter="flows",
)
