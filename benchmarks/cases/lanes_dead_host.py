"""Many calls to a host that accepts and never answers: how long does a call to a healthy host wait behind them?"""

from dataclasses import replace

import httpx

from benchmarks import tasks
from benchmarks.arena import arena, stamps_received
from benchmarks.callers import BY_KEY, PROCESSES, SLOTS, Calls, waits_behind
from benchmarks.cases import Case
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values, percentile
from tests.support.servers import PostgresServer

DEAD, HEALTHY = 600, 100
_LIMIT_S = 60.0


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    # Two names of one machine, so that they count as two hosts where limits go by host.
    dead = Calls("first", "localhost", "dead", DEAD)
    healthy = Calls("second", "127.0.0.1", "hook", 20 if quick else HEALTHY, at_once=False)
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        if contender.is_postlude:
            opened.serve()
        receiver = httpx.URL(opened.receive())
        waited = waits_behind(opened, receiver, stamps, dead, healthy, _LIMIT_S)
        held = int(httpx.get(receiver.join("/held"), trust_env=False).text)
    return {
        "p50_ms": percentile(waited, 50),
        "max_ms": max(waited),
        "held_percent": held / contender.slots * 100,
    }


CASE = Case(
    name="lanes_dead_host",
    title="A dead host",
    explanation=f"{DEAD} posts to a host that accepts and never answers wait when the worker starts. A second later "
    f"come {HEALTHY} posts to a healthy host, one by one: from the enqueuer's answer to their arrival at the receiver "
    f"(at most {_LIMIT_S:.0f} s are counted). All posts have {tasks.CALL_TIMEOUT_S:.0f} s and {SLOTS} slots in one "
    f"worker; RQ has {PROCESSES} processes. Held: the most posts that the dead host kept open at once. Postlude's "
    "`send_webhook` as it is; peers limit each host to a quarter of the slots, if they can: PgQueuer, ardiq and Celery "
    "by hosts known beforehand. arq, SAQ, Taskiq and Huey cannot, and run plainly.",
    contenders=[
        replace(POSTLUDE_SQLITE, name="Postlude's send_webhook, SQLite", limit="webhook"),
        replace(POSTLUDE_POSTGRES, name="Postlude's send_webhook, Postgres", limit="webhook", in_quick=False),
        replace(POSTLUDE_SQLITE, name="Postlude, a kind without lanes", in_quick=False),
        *BY_KEY,
    ],
    measures={
        "p50_ms": Measure("healthy, p50 ms", more_is_better=False, digits=1),
        "max_ms": Measure("healthy, longest ms", more_is_better=False, digits=1),
        "held_percent": Measure("slots held, %", more_is_better=False),
    },
    main="max_ms",
    play=play,
    rounds_at_most=1,
    chapter="lanes",
)
