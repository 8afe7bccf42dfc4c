"""What a worker has in hand: ids are held until they are released, and a lost lease stops everything."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.worker.workload import Workload

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def started(job_id: str) -> Started:
    return Started(job_id, "quick", 1, 0, 0, 5, "{}", None, "default", None, NOW, "w-1", NOW)


class Attempt:
    """Notes how it is ended."""

    timeout_s = 1.0

    def __init__(self, job_id: str) -> None:
        self.started = started(job_id)
        self.blocked_s = 0.0
        self.told: list[Any] = []

    async def run(self) -> Finish:
        raise NotImplementedError

    def stop(self, outcome: Outcome) -> None:
        self.told.append(outcome)

    def give_up(self) -> None:
        self.told.append("given up")

    def crash(self, what: str) -> None:
        self.told.append(what)

    def exit(self, error: BaseException) -> None:
        self.told.append(error)

    def is_in(self, task: asyncio.Task[Any] | None) -> bool:
        return task is not None and task.get_name() == self.started.id

    async def stack(self) -> list[str]:
        return []


@pytest.fixture
async def workload() -> Workload:
    return Workload("w-1")


async def test_id_is_held_by_who_reserves_it_first(workload: Workload) -> None:
    assert workload.reserve(["a", "b"]) == ["a", "b"]
    assert workload.reserve(["b", "c"]) == ["c"]
    workload.release(["a", "b"])
    assert workload.held_ids == {"c"}
    assert not workload.is_empty


async def test_lost_lease_hands_back_what_waits_and_stops_what_runs_or_is_about_to(workload: Workload) -> None:
    workload.slots.limit_to(2)
    running, about_to = Attempt("a"), Attempt("b")
    told: list[bool] = []
    for one in (running, about_to):
        workload.begin(one.started, told.append)
    workload.begin(started("c"), told.append)
    workload.run(running)
    assert not workload.lose_lease("another")
    assert workload.lose_lease("w-1")
    assert not workload.lose_lease("w-1"), "it is heard of once"
    workload.run(about_to)
    assert told == [True, True, False]
    assert running.told == about_to.told == [Outcome.INTERRUPTED]
    workload.renew_lease("w-2")
    assert (workload.worker_id, workload.lease_lost) == ("w-2", False)


async def test_attempt_that_was_started_under_a_lease_lost_meanwhile_is_stopped_although_there_is_a_new_one(
    workload: Workload,
) -> None:
    workload.lose_lease("w-1")
    workload.renew_lease("w-2")
    late = Attempt("a")
    workload.begin(late.started, lambda _has_slot: None)
    workload.run(late)
    assert late.told == [Outcome.INTERRUPTED]


async def test_crash_is_told_to_what_runs_and_hands_back_what_waits(workload: Workload) -> None:
    workload.slots.limit_to(1)
    running = Attempt("a")
    told: list[bool] = []
    workload.begin(running.started, told.append)
    workload.run(running)
    workload.begin(started("b"), told.append)
    workload.crash(SystemExit(3))
    assert workload.crashed
    assert running.told == ["Worker w-1 ended by SystemExit: 3 while it ran this job."]
    assert told == [True, False]


async def test_end_of_an_attempt_passes_its_slot_on_and_wakes_who_waits_for_a_change(workload: Workload) -> None:
    workload.slots.limit_to(1)
    told: list[bool] = []
    workload.begin(started("a"), told.append)
    workload.begin(started("b"), told.append)
    change = asyncio.create_task(workload.next_change())
    await asyncio.sleep(0)
    assert not change.done()
    assert told == [True]
    workload.end(started("a"), has_slot=True)
    assert told == [True, True]
    async with asyncio.timeout(5):
        await change
    assert [one.id for one in workload.begun] == ["b"]


async def test_attempt_that_was_handed_back_makes_room_for_none_like_it(workload: Workload) -> None:
    workload.slots.limit_to(1)
    for handed_back in (True, False):
        workload.begin(started("a"), lambda _: None)
        workload.end(started("a"), has_slot=True, handed_back=handed_back)
        assert workload.slots.unused == 1
        assert workload.slots.lately.count == (0 if handed_back else 1)


async def test_blocked_loop_is_laid_to_the_attempt_whose_task_blocks_it(workload: Workload) -> None:
    guilty, innocent = Attempt("guilty"), Attempt("innocent")
    for one in (guilty, innocent):
        workload.begin(one.started, lambda _has_slot: None)
        workload.run(one)
    task = asyncio.create_task(asyncio.sleep(0), name="guilty")
    workload.note_blocked(task, 1.5)
    await task
    assert (guilty.blocked_s, innocent.blocked_s) == (1.5, 0.0)
    assert [one.job_id for one in workload.on_the_loop()] == ["guilty", "innocent"]
