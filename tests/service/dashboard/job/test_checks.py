"""Each reason why a job waits is one failing check with its fact, and one sentence that a colleague would say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.dashboard.job.checks import Facts, Part, checks_of
from service.dashboard.job.headline import headline
from service.lanes.reasons import A_FREE_SLOT, LaneNow, Reason, Why, due_later, held_by
from service.ledger.reads.worker_views import WorkerState, WorkerView
from service.queue import LaneState

NOW = datetime(2026, 11, 25, 2, 23, 23, tzinfo=UTC)
SOON = NOW + timedelta(seconds=76)
KEY = "host:hooks.example.com"
JOB: dict[str, Any] = {
    "id": "job",
    "state": "queued",
    "kind": "send_webhook",
    "label": None,
    "queue": "webhooks",
    "run_at": NOW - timedelta(minutes=3),
    "blocked_by": None,
    "unique_key": None,
    "lane": None,
    "kind_lane": KEY,
}
WORKER = WorkerView(
    id="w",
    hostname="h",
    pid=1,
    state=WorkerState.ALIVE,
    queues=("webhooks",),
    kinds=("send_webhook",),
    slots=50,
    running=31,
    oldest_running_at=None,
    loop_lag_s=0.0,
    hung_threads=0,
    memory_bytes=None,
    version="2.14.0",
    started_at=NOW,
    heartbeat_at=NOW,
    drain_at=None,
    ended_at=None,
    is_dead=False,
    rescued=0,
)
OPEN = LaneState(running=3, concurrency=8)
FACTS = Facts([WORKER], 11, 2_950, {KEY: LaneNow(OPEN, is_built=True)})


def said(parts: Sequence[Part]) -> str:
    return "".join(part if isinstance(part, str) else f"<{part.shown}>" for part in parts)


def lane(**state: Any) -> Reason:
    reason = held_by(KEY, LaneNow(replace(OPEN, **state), is_built=True, first=state.get("head")), "job")
    assert reason is not None
    return reason


def test_a_job_that_waits_for_a_slot_has_all_that_it_needs() -> None:
    checks = checks_of(JOB, [A_FREE_SLOT], FACTS, NOW)
    assert {check.tone for check in checks} == {"fine"}
    assert [said(check.fact) for check in checks] == [
        "since <clock>, <age>",
        "",
        "",
        "webhooks, 11 running",
        "send_webhook",
        "1 of 1 serves webhooks",
        "1 of 1 knows send_webhook",
        f"{KEY}, 3 of at most 8 running",
        "19 of 50 slots are free",
    ]


REASONS = {
    "paused lane": (lane(paused=True), "warning", "Its lane is paused."),
    "open breaker": (
        lane(breaker="open", breaker_until=SOON, breaker_reason="refused"),
        "warning",
        "Its lane is held by its breaker.",
    ),
    "forced breaker": (lane(breaker_forced="open"), "warning", "Its lane is held by its breaker."),
    "trying breaker": (lane(breaker="half_open"), "warning", "Its lane is trying one job first."),
    "strict order": (lane(head="first"), "note", "It is not its turn in its lane."),
    "full": (lane(running=8), "note", "Its lane is full."),
    "rate": (lane(rate=(10, 60.0), tokens=0.5, opens_at=SOON), "note", "Its lane has used up its rate."),
    "queue": (Reason(Why.QUEUE_PAUSED, "paused", "webhooks", SOON, NOW), "warning", "Its queue is paused."),
    "kind": (Reason(Why.KIND_PAUSED, "paused", "send_webhook"), "warning", "Its kind is paused."),
    "others": (Reason(Why.OTHER_JOBS, "job x to succeed", "x"), "note", "It waits for other jobs."),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_failing_check_is_the_one_of_the_reason(name: str) -> None:
    reason, tone, text = REASONS[name]
    failing = [check for check in checks_of(JOB, [reason], FACTS, NOW) if check.tone != "fine"]
    assert [(check.tone, check.text) for check in failing] == [(tone, text)]
    told = headline(JOB, reason, 2_950)
    assert told.tone == tone
    assert said(told.sentence).endswith(".")
    assert "2,950 jobs are ahead of this one. Waiting costs it no attempt." in said(told.detail)
    assert told.link is not None or told.resume is not None


def test_the_sentence_says_until_when_and_what_was_last_heard() -> None:
    told = headline(JOB, REASONS["open breaker"][0], None)
    assert said(told.sentence) == "It waits for its lane, which is held by its breaker until <clock>, <until>."
    assert said(told.detail) == "The last failure there: refused. Waiting costs it no attempt."
    assert told.resume == ("Resume the lane", "/lanes", KEY)
    later = headline(JOB | {"run_at": SOON}, due_later(SOON), None)
    assert said(later.sentence) == "It waits for its time: <clock>, <until>."


def test_workers_that_cannot_take_it_are_told() -> None:
    other = replace(WORKER, queues=("other",))
    nobody = Facts([], 0, None, {})
    alone = JOB | {"kind_lane": None}
    [gone] = [check for check in checks_of(alone, [], nobody, NOW) if check.tone == "wrong"]
    assert gone.text == "No worker is alive."
    [elsewhere] = [check for check in checks_of(alone, [], Facts([other], 0, None, {}), NOW) if check.tone == "wrong"]
    assert (elsewhere.text, said(elsewhere.fact)) == ("No living worker serves its queue.", "0 of 1 serve webhooks")
    busy = Facts([replace(WORKER, running=60)], 0, None, {})
    assert [check.text for check in checks_of(alone, [A_FREE_SLOT], busy, NOW) if check.tone == "note"] == [
        "All slots of its workers are taken."
    ]
