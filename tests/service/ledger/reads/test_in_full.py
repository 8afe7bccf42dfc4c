"""What a job's page reads is bounded, and read off indexes: however often it was tried, however much waits."""

from typing import Any

from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.models import Failure
from service.ledger.reads import in_full
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, new_job, start
from tests.service.ledger.makers import running as begun
from tests.support.plans import Call, bad_ways_in, plans_of, sent_by, walks

FAILURE = Failure("ValueError", "m" * 900, "Traceback: no")


async def test_the_latest_attempts_are_told_in_short(ledger: Ledger) -> None:
    started = await begun(ledger)
    for _ in range(4):
        again = finish(started, Outcome.FAILED, State.RETRYING, failures=1, failure=FAILURE, run_at=NOW)
        assert await ledger.finish(again)
        one = await start(ledger, started.id)
        assert one is not None
        started = one
    job = await job_row(ledger, started.id)
    async with ledger.read() as connection:
        found = await in_full.attempts_in_short(connection, job, 3)
        assert [one["number"] for one in found] == [2, 3, 4, 5]
        assert [one["outcome"] for one in found] == ["failed"] * 3 + [None]
        assert len(found[0]["error_message"]) == 500
        whole = await in_full.attempt_in_full(connection, started.id, 4)
        assert whole is not None
        assert whole["traceback"] == "Traceback: no"
        assert await in_full.attempt_in_full(connection, started.id, 5) is None
        assert (await in_full.related(connection, [started.id, "gone"])).keys() == {started.id}
        assert await in_full.count_running_on(connection, "default") == 1


async def test_those_ahead_in_a_lane_are_the_due_ones_with_earlier_places(ledger: Ledger) -> None:
    jobs = [new_job(lane="tenant:1") for _ in range(4)]
    await enqueue(ledger, *jobs)
    last = await job_row(ledger, jobs[-1].id)
    async with ledger.read() as connection:
        assert await in_full.count_ahead(connection, "tenant:1", last["lane_seq"], NOW, 10) == 3
        assert await in_full.count_ahead(connection, "tenant:1", last["lane_seq"], NOW, 2) == 2


def calls() -> dict[str, Call]:
    job: Any = {"id": "d1", "state": "failed", "attempt": 1}
    return {
        "attempts": lambda connection, _: in_full.attempts_in_short(connection, job, 500),
        "attempt": lambda connection, _: in_full.attempt_in_full(connection, "d1", 1),
        "related": lambda connection, _: in_full.related(connection, ["d1", "d2"]),
        "children": lambda connection, _: in_full.children_of(connection, "d1", 50),
        "alike": lambda connection, _: in_full.count_alike(connection, "f" * 16, 1_001),
        "ahead": lambda connection, now: in_full.count_ahead(connection, "tenant:1", 900, now, 1_000),
        "running": lambda connection, _: in_full.count_running_on(connection, "default"),
    }


async def test_no_read_walks_through_the_history(history: Database) -> None:
    plans = [
        (name, one.sql, plan)
        for name, call in calls().items()
        for one in await sent_by(history, call)
        for plan in await plans_of(history, one, avoid_walks=True)
    ]
    assert {name for name, _, _ in plans} == calls().keys()
    assert [one for one in plans if is_bad(*one)] == []


def is_bad(name: str, _sql: str, plan: str) -> bool:
    # The index of what runs is read whole: it is as long as workers have slots.
    walked = walks(plan.replace("SCAN jobs USING INDEX jobs_running", ""))
    return walked or (name != "alike" and bool(bad_ways_in(plan)))
