"""What the overview says first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.dashboard.overview.rates import Rates
from service.dashboard.overview.reading import QueueRow, Standing
from service.dashboard.overview.verdict import calm_words, verdict_of
from service.insight.trouble import Severity, Trouble
from service.ledger.reads.figures import LevelSeries
from service.ledger.reads.worker_views import WorkerState, WorkerView

NOW = datetime(2026, 11, 25, tzinfo=UTC)
WORKER = WorkerView(
    **{
        **dict.fromkeys(("id", "hostname"), "w"),
        **dict.fromkeys(("queues", "kinds"), ()),
        **dict.fromkeys(("pid", "running", "loop_lag_s", "hung_threads", "rescued"), 0),
        **dict.fromkeys(("oldest_running_at", "memory_bytes", "version", "drain_at", "ended_at")),
        **dict.fromkeys(("started_at", "heartbeat_at"), NOW),
        "slots": 10,
        "state": WorkerState.ALIVE,
        "is_dead": False,
    }  # type: ignore[arg-type]
)
QUIET = Standing(
    now=NOW,
    counts={},
    levels={},
    history=LevelSeries(NOW, timedelta(minutes=1), {}),
    audited_at=None,
    due={},
    rates=Rates([], NOW, {}, ended=0, succeeded=0),
    deploys=[],
    queues=[],
    workers=[WORKER],
    groups=[],
    held=[],
    held_count=0,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "No job ended in the last hour. No due job is waiting, 1 worker is alive, and nothing is held."),
        (
            {"rates": Rates([], NOW, {}, ended=312_480, succeeded=312_477), "workers": [WORKER] * 4, "held_count": 1},
            "Of 312,480 jobs that ended in the last hour, 312,477 succeeded. No due job is waiting, all 4 workers"
            " are alive, and 1 lane or queue is held.",
        ),
        (
            {
                "rates": Rates([], NOW, {}, ended=2, succeeded=2),
                "queues": [QueueRow("a", 1, 0, 0.6), QueueRow("b", 1, 0, 9)],
                "workers": [WORKER, WORKER, replace(WORKER, state=WorkerState.SILENT)],
            },
            "Of 2 jobs that ended in the last hour, all succeeded. The oldest waiting job is 9 s old, 2 workers are"
            " alive, and nothing is held.",
        ),
    ],
)
def test_a_healthy_hour_is_told_with_its_facts(changes: dict[str, Any], words: str) -> None:
    assert calm_words(replace(QUIET, **changes)) == words


def test_slots_bound_what_runs() -> None:
    workers = [replace(WORKER, running=12), replace(WORKER, running=3), replace(WORKER, state=WorkerState.ENDED)]
    standing = replace(QUIET, workers=workers)
    assert (standing.running, standing.slots) == (13, 20)


def test_the_worst_is_in_full_and_only_so_many_more_are_named() -> None:
    def some(severity: Severity, count: int) -> list[Trouble]:
        return [Trouble(f"{severity}:{n}", severity, "jobs", f"{severity} {n}.") for n in range(count)]

    wrong = verdict_of([*some("wrong", 2), *some("warning", 5)])
    assert wrong.worst is not None
    assert (wrong.worst.key, [one.key for one in wrong.others][:2], wrong.more) == (
        "wrong:0",
        ["wrong:1", "warning:0"],
        2,
    )
    assert wrong.title == "wrong 0 · Overview"
    fine = verdict_of(some("warning", 1))
    assert (fine.worst, len(fine.others), fine.more, fine.title) == (None, 1, 0, "Overview")
