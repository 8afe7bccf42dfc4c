"""Troubles are put into words, from facts: what is wrong, why, what still works, and what to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.errors import LedgerUnavailable
from service.insight.facts import Facts, Growing, HeldLane
from service.insight.levels import laneless_age, of_queue, unknown_kind
from service.insight.of_servers import of_away_ledger
from service.insight.of_workers import lost_together
from service.insight.slo import HOUR, HOURS, SOON, SloState
from service.insight.trouble import Trouble
from service.insight.troubles import sorted_by_severity, words
from service.insight.words import plain
from service.lane_rules import Rule
from service.ledger.reads.failures import FailureGroup
from service.ledger.reads.troubled import MOST_LOST, Backlog, Failing, LostWorker, OddTick

NOW = datetime(2026, 11, 25, 1, 23, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WORKER = {"id": "worker-fra-1", "queues": "default,mail", "kinds": '["send_webhook"]', "loop_lag_s": 0.0}
WORKER |= {"drain_at": None}
DRAINS = WORKER | {"drain_at": NOW - MINUTE}
FINE = Facts(NOW, workers=[WORKER], levels={"waiting": 3.0, "running": 31.0, "slots": 200.0}, succeeded_lately=1_956)
LANE = "host:hooks.orders.example.com"
GROUP = FailureGroup(
    *("f" * 16, "shop.send_receipt", "KeyError", "'currency'", "shop/receipts.py:41", None),
    *(NOW - 240 * MINUTE, NOW, 61, 12),
)
HELD = HeldLane(
    Rule(LANE, breaker_state="open", breaker_until=NOW + timedelta(seconds=76), breaker_reason="connection refused"),
    Backlog(4_812, NOW - 9 * MINUTE),
    Failing(NOW - 9 * MINUTE, 83, 12, "f" * 16, frozenset({"send_webhook"})),
)


def told(**changes: Any) -> list[Trouble]:
    return sorted_by_severity(words(replace(FINE, **changes)))


def only(**changes: Any) -> Trouble:
    [trouble] = told(**changes)
    return trouble


def text(trouble: Trouble) -> str:
    facts = "\n".join(f"{term}: {plain(words, NOW)}" for term, words in trouble.facts)
    steps = "\n".join(f"{number}. {plain(step, NOW)}" for number, step in enumerate(trouble.steps, 1))
    return "\n".join(part for part in (trouble.headline, plain(trouble.text, NOW), facts, steps) if part)


def test_a_healthy_moment_has_no_trouble() -> None:
    assert told() == []


def test_a_destination_that_is_down_is_told_with_what_waits_and_what_goes_out() -> None:
    trouble = only(held=[HELD], held_count=1)
    assert text(trouble) == (
        "Webhooks to hooks.orders.example.com are not going out.\n"
        "4,812 jobs wait for it, the oldest for 9 min. Everything else goes out as usual: 1,956 jobs"
        " succeeded in the last minute.\n"
        "Since: at 2026-11-25 01:14:23 UTC, when the first attempt failed\n"
        "Answer: connection refused\n"
        "Held by: the breaker of the lane, which lets one job try at a time\n"
        "Next try: at 2026-11-25 01:24:39 UTC\n"
        "Lost: nothing; a held job costs no attempt. 12 jobs failed before the breaker opened, and can be replayed.\n"
        "1. Tell the people who run the receiver. Nothing in Postlude needs fixing or restarting.\n"
        "2. Wait for a try to succeed. The 4,812 jobs then go out by themselves.\n"
        "3. Then replay the 12 failed jobs."
    )
    assert (trouble.key, trouble.severity, trouble.section) == (f"lane:{LANE}", "wrong", "lanes")
    assert (trouble.since, trouble.name) == (NOW - 9 * MINUTE, "hooks.orders.example.com is down")
    assert [(action.label, action.path) for action in trouble.actions] == [
        ("Open the lane", "/lanes/host%3Ahooks.orders.example.com"),
        ("Show the waiting jobs", "/jobs?lane=host%3Ahooks.orders.example.com&state=queued"),
        ("Replay 12 failed jobs…", "/failures/ffffffffffffffff"),
    ]


@pytest.mark.parametrize(
    ("key", "kinds", "headline"),
    [
        ("smtp:mail.example.com", ["send_email"], "Mail by mail.example.com is not going out."),
        ("app:shop", ["shop.send"], "The app shop is not being called."),
        ("host:a.example", ["call_http"], "HTTP calls to a.example are not going out."),
        ("host:a.example", ["call_http", "send_webhook"], "Jobs to a.example are not going out."),
        ("tenant:42", ["x"], "Jobs in the lane tenant:42 are not going out."),
    ],
)
def test_a_lane_is_named_by_what_goes_there(key: str, kinds: list[str], headline: str) -> None:
    lane = replace(HELD, rule=replace(HELD.rule, key=key), failing=HELD.failing._replace(kinds=frozenset(kinds)))
    assert only(held=[lane], held_count=1).headline == headline


def test_a_breaker_that_holds_nobody_back_or_is_forced_says_so() -> None:
    idle = only(held=[replace(HELD, backlog=Backlog(0, None), failing=Failing())], held_count=1)
    assert (idle.severity, plain(idle.text, NOW)[:23]) == ("warning", "No job waits for it. Ev")
    forced = only(held=[replace(HELD, rule=Rule(LANE, breaker_forced="open"))], held_count=1)
    assert "which somebody forced open" in text(forced)
    assert "Next try" not in text(forced)
    rested = only(held=[HeldLane(Rule("nope", breaker_forced="open"), Backlog(0, None), Failing())], held_count=1)
    assert rested.headline == "The lane nope is held by hand, so none of its jobs starts."
    assert told(held=[HELD], held_count=21)[1].headline == "20 more lanes are held."


def test_servers_that_are_away_come_with_what_still_holds() -> None:
    away = of_away_ledger(LedgerUnavailable("no answer"))
    assert text(away).startswith("The database of the ledger does not answer.\nNew jobs are refused with 503")
    assert "Nothing that was accepted is lost" in text(away)
    assert "Nothing is lost." in text(only(redis="Connection refused"))
    assert only(redis="Connection refused").headline == "Redis does not answer, so no job starts."
    assert "disk is full" in text(only(unwritable="database or disk is full"))


def test_what_must_never_be_is_wrong() -> None:
    assert only(levels={"unaccounted": 2.0}).headline == "Nothing accounts for 2 jobs."
    gap = only(levels={"gap": 1.0}, gap_lasts=True)
    assert gap.headline == "1 job began to run in workers that are gone, and is not rescued."
    assert told(levels={"gap": 1.0}, gap_lasts=False) == []


def test_settings_and_complaints_of_features_are_warnings() -> None:
    risk = only(risks={"Postgres fsync=off": "accepted jobs may be lost: set fsync=on"})
    assert text(risk) == "Postgres fsync=off breaks a promise.\nAccepted jobs may be lost: set fsync=on."
    outbox = only(complaints={"outbox": "rows are not taken: shop is away"})
    assert (outbox.severity, text(outbox)) == (
        "warning",
        "The outbox complains.\nRows are not taken: shop is away.",
    )


def test_no_worker_is_wrong_once_something_waits() -> None:
    lost = LostWorker("worker-fra-1", NOW - 2 * MINUTE, True)
    waiting = told(workers=[], waiting=7, oldest_at=NOW - 2 * MINUTE, lost_workers=[lost])
    assert [one.severity for one in waiting] == ["wrong"]
    assert text(waiting[0]).startswith(
        "No worker is alive, so no job runs.\n7 jobs wait, the oldest for 2 min. New ones are"
        " accepted. Nothing is lost.\nLast heard from: at 2026-11-25 01:21:23 UTC\n1. Start a worker"
    )
    assert only(workers=[], levels={}).severity == "warning"
    assert text(only(workers=[], waiting=50_000)).splitlines()[1].startswith("At least 50,000 jobs wait. ")


def test_workers_that_drain_take_no_jobs() -> None:
    none = only(workers=[DRAINS, DRAINS])
    assert (none.key, none.severity, none.since) == ("workers", "wrong", NOW - MINUTE)
    assert text(none).startswith("Every living worker is draining, so no new job starts.\n3 jobs wait. ")
    assert only(workers=[DRAINS], levels={}).severity == "warning"
    mail = DRAINS | {"id": "worker-fra-2", "queues": "bulk"}
    unworked = only(workers=[WORKER, mail], levels={of_queue("waiting", "bulk"): 2.0})
    assert unworked.headline == "No living worker takes jobs from the queue bulk."


def test_a_queue_or_kind_without_a_worker_is_named_with_its_jobs() -> None:
    queue = only(levels={of_queue("waiting", "bulk"): 12.0, of_queue("waiting", "mail"): 3.0})
    assert queue.headline == "No living worker takes jobs from the queue bulk."
    assert "12 jobs wait on it" in text(queue)
    assert "default, mail" in text(queue)
    kind = only(levels={unknown_kind("resize"): 5.0})
    assert kind.headline == "No living worker knows the kind resize."
    assert "5 jobs wait" in text(kind)


def test_long_waits_are_told_unless_somebody_or_something_holds_the_queue() -> None:
    levels = {laneless_age("mail"): 300.0, of_queue("waiting", "mail"): 40.0, "running": 200.0, "slots": 200.0}
    waits = only(levels=levels)
    assert waits.headline == "Jobs wait too long on the queue mail."
    assert "Slots: 200 of 200 are taken\n1. Start more workers" in text(waits)
    [paused] = told(levels=levels, paused=[Rule("queue:mail", paused=True)])
    assert (paused.severity, paused.headline) == ("note", "The queue mail is paused.")
    assert [one.key for one in told(levels=levels, redis="away")] == ["redis"]
    assert told(levels={laneless_age("mail"): 5.0}) == []


def test_a_worker_that_is_silent_lost_or_blocked_is_named() -> None:
    silent = only(lost_workers=[LostWorker("worker-fra-6", NOW - MINUTE, False)])
    assert (silent.severity, silent.headline) == ("warning", "The worker worker-fra-6 is silent.")
    lost = only(lost_workers=[LostWorker("worker-fra-6", NOW - MINUTE, True)])
    assert lost.severity == "note"
    assert "Any jobs that it ran were rescued: nothing is lost." in text(lost)
    blocked = only(workers=[WORKER | {"loop_lag_s": 7.0}])
    assert blocked.headline == "The event loop of the worker worker-fra-1 is blocked."


def test_many_lost_workers_are_one_thing_to_look_at_on_a_page() -> None:
    def lost(number: int, *, is_declared: bool) -> LostWorker:
        return LostWorker(f"worker-fra-{number}", NOW - number * MINUTE, is_declared)

    gone = [lost(number, is_declared=True) for number in range(10)]
    silent, dead = lost_together(told(lost_workers=[*gone, *(lost(number, is_declared=False) for number in (10, 11))]))
    assert text(dead) == (
        "10 workers were lost: worker-fra-0, worker-fra-1, worker-fra-2 and 7 more.\n"
        "The last was heard from at 2026-11-25 01:23:23 UTC. Any jobs that they ran were rescued: nothing is"
        " lost.\n1. Look at their logs and at the machines: were they out of memory?"
    )
    assert silent.headline == "2 workers are silent: worker-fra-10 and worker-fra-11."
    assert (silent.severity, dead.severity) == ("warning", "note")
    [most] = lost_together(told(lost_workers=[lost(number, is_declared=True) for number in range(MOST_LOST)]))
    assert most.headline.startswith(f"At least {MOST_LOST} workers were lost")
    others = [lost(number, is_declared=False) for number in range(10, MOST_LOST)]  # the ledger told of no more of both
    assert [one.headline[:11] for one in lost_together(told(lost_workers=[*gone, *others]))] == ["At least 10"] * 2
    alone = told(lost_workers=gone[:1], redis="Connection refused")
    assert lost_together(alone) == alone


def test_pauses_are_notes_with_their_end() -> None:
    until = only(paused=[Rule("tenant:*", paused=True, paused_until=NOW + 5 * MINUTE)])
    assert (until.severity, until.headline) == ("note", "Lanes that match tenant:* are paused.")
    assert "until 2026-11-25 01:28:23 UTC" in text(until)
    assert only(paused=[Rule("kind:resize", paused=True)]).section == "kinds"


def test_a_growing_group_is_told_unless_its_lane_tells_it() -> None:
    trouble = only(growing=[Growing(GROUP, 61, 3)])
    assert text(trouble) == (
        "shop.send_receipt fails more and more: 'currency'\n"
        "61 failures in the last 10 min. 12 jobs failed for good and can be replayed.\n"
        "Error: KeyError at shop/receipts.py:41\n"
        "First seen: at 2026-11-24 21:23:23 UTC\n"
        "Hour before: 3 failures\n"
        "1. Look at one of them: its traceback, and what it sent and got back.\n"
        "2. Fix the cause, deploy, then replay the group."
    )
    assert trouble.severity == "wrong"
    assert only(growing=[Growing(replace(GROUP, jobs_failed=0, message=""), 61, 3)]).severity == "warning"
    towards = Growing(replace(GROUP, destination=LANE), 61, 3)
    assert [one.section for one in told(growing=[towards], held=[HELD], held_count=1)] == ["lanes"]


def test_an_slo_is_told_when_its_budget_burns() -> None:
    def slo(soon: float, hour: float, hours: float, *, good: int = 950, left: float = 0.4) -> dict[str, SloState]:
        rates = {SOON: soon, HOUR: hour, HOURS: hours}
        return {"send_email": SloState("send_email", 0.99, MINUTE, good, 1_000, left, rates)}

    fast = only(slos=slo(20.0, 15.0, 3.0))
    assert (fast.severity, fast.headline) == ("wrong", "send_email misses its SLO.")
    assert "95 % of 1,000 jobs succeeded in time within the last 30 days, but 99 % should, 60 s after" in text(fast)
    assert "40 % of the error budget is left" in text(fast)
    assert only(slos=slo(0.0, 15.0, 7.0)).severity == "warning"
    assert only(slos=slo(0.0, 0.0, 0.0, left=-2.0)).severity == "warning"
    assert told(slos=slo(1.0, 1.0, 1.0)) == []
    assert told(slos=slo(99.0, 99.0, 99.0, good=997)) == []


def test_ticks_that_did_not_fire_are_told() -> None:
    reason = "job j1, of an earlier tick, had not ended"
    tick = OddTick("nightly_report", NOW.replace(hour=1, minute=0), "skipped", reason)
    assert text(only(ticks=[tick])) == (
        f"nightly_report skipped its 01:00 UTC tick\nbecause {reason}. See the schedule"
    )


def test_the_worst_comes_first() -> None:
    mixed = told(paused=[Rule("kind:x", paused=True)], redis="away", risks={"s": "r"})
    assert [one.severity for one in mixed] == ["wrong", "warning", "note"]
