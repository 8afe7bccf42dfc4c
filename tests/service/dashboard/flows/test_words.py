"""The state of a flow, in a sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.dashboard.flows.words import headline, reasons
from service.insight.words import Time
from service.ledger.reads.flow_graphs import Edge, FlowJob
from service.ledger.reads.flows import FlowCounts
from service.ledger.states import PARENT_FAILED, State

NOW = datetime(2026, 11, 25, 8, 41, tzinfo=UTC)
LATER = NOW + timedelta(seconds=12)


def job(name: str, state: str, **fields: Any) -> FlowJob:
    plain: dict[str, Any] = dict.fromkeys(FlowJob._fields) | {"id": name, "name": name, "label": "k", "run_at": LATER}
    return FlowJob(**plain | {"state": State(state), "attempt": 1, "failures": 0, "listed_at": NOW} | fields)


def said(jobs: list[FlowJob], *edges: tuple[str, str], finished_at: datetime | None = None) -> tuple[str, str]:
    states = {state: sum(one.state is state for one in jobs) for state in {one.state for one in jobs}}
    counts = FlowCounts(states, finished_at)
    told = reasons(jobs, [Edge(parent, child, "succeeded", "open") for parent, child in edges], counts, NOW)
    return headline(counts), "".join("in 12 s" if isinstance(part, Time) else str(part) for part in told)


def test_a_flow_that_runs_says_what_it_waits_for() -> None:
    jobs = [
        *(job(name, "succeeded") for name in ("fetch", "import", "counters", "audit")),
        job("thumbnails", "running"),
        job("notify", "retrying", failures=1),
        job("publish", "blocked"),
        job("report", "blocked"),
    ]
    edges = (("thumbnails", "publish"), ("publish", "report"), ("notify", "report"))
    assert said(jobs, *edges) == (
        "4 of 8 jobs have succeeded.",
        " notify failed once and will be tried again in 12 s; thumbnails is running; publish is waiting for thumbnails,"
        " report for publish and notify.",
    )


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        (
            [job("a", "failed", error_message="HTTP 500:\nno")],
            ("Its one job has failed.", " a failed: HTTP 500: no."),
        ),
        (
            [job(n, "queued") for n in "abcde"],
            ("0 of 5 jobs have succeeded.", " a, b, c and 2 more are queued."),
        ),
        ([job("a", "scheduled")], ("Its one job has not succeeded yet.", " a is due in 12 s.")),
        ([job("a", "retrying")], ("Its one job has not succeeded yet.", " a goes on in 12 s.")),
        ([], ("None of its jobs is left.", "")),
        (
            [job("a", "failed"), job("b", "cancelled", error_type=PARENT_FAILED), job("c", "succeeded")],
            (
                "1 failed, 1 of 3 jobs has succeeded.",
                " a failed; 1 job was cancelled, because it needed one that failed.",
            ),
        ),
    ],
)
def test_every_state_has_its_words(jobs: list[FlowJob], expected: tuple[str, str]) -> None:
    assert said(jobs) == expected


def test_a_flow_that_is_over_says_how_long_it_took() -> None:
    done = [job("a", "succeeded"), job("b", "succeeded")]
    assert said(done, finished_at=NOW + timedelta(seconds=92)) == ("All 2 jobs have succeeded.", " It took 1 min 32 s.")
