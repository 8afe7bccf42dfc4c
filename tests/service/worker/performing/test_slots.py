"""Slots: how many attempts run at once, and how many are prefetched."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from pydantic import BaseModel

from jobs import Context, job
from service.settings import Settings
from service.worker.performing.attempt import performer_of
from service.worker.performing.slots import Slots
from service.worker.worker import Worker
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker


class Turns:
    """Attempts that ask for slots, by number."""

    def __init__(self, count: int) -> None:
        self.slots = Slots()
        self.slots.limit_to(count)
        self._has_slot: dict[int, bool] = {}

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self.slots.ask(partial(self._has_slot.__setitem__, number))

    def end(self, *numbers: int) -> None:
        for _ in numbers:
            self.slots.free("quick")

    @property
    def run(self) -> list[int]:
        return sorted(number for number, has_slot in self._has_slot.items() if has_slot)

    @property
    def handed_back(self) -> list[int]:
        return sorted(number for number, has_slot in self._has_slot.items() if not has_slot)


async def test_no_more_run_at_once_than_there_are_slots_and_the_first_come_first() -> None:
    turns = Turns(2)
    turns.ask(0, 1, 2, 3)
    assert turns.run == [0, 1]
    turns.end(1)
    assert turns.run == [0, 1, 2]
    turns.end(0, 2, 3)
    assert turns.run == [0, 1, 2, 3]
    assert turns.slots.unused == 2


async def test_a_slot_that_was_taken_ahead_is_nobody_elses_until_it_is_given_back() -> None:
    turns = Turns(1)
    assert turns.slots.take()
    assert not turns.slots.take()
    turns.ask(0)
    assert turns.run == []
    turns.slots.give_back()
    assert (turns.run, turns.slots.unused) == ([0], 0)
    turns.end(0)
    assert turns.slots.unused == 1


async def test_slow_attempts_leave_no_room_beyond_the_slots() -> None:
    turns = Turns(3)
    assert turns.slots.room == 3
    turns.ask(0)
    assert turns.slots.room == 2
    turns.ask(1, 2)
    assert turns.slots.room == 0


async def test_fast_attempts_make_room_to_prefetch_within_bounds() -> None:
    turns = Turns(2)
    for number in range(100):
        turns.ask(number)
        turns.end(number)
    assert turns.slots.room == 2 + 10 * 2
    turns.ask(*range(100, 111))
    assert turns.slots.room == 11
    turns.ask(111)
    assert turns.slots.room == 0, "most prefetched attempts still wait"


async def test_attempts_that_wait_too_long_are_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.performing.slots._WAITS_AT_MOST_S", 0.05)
    turns = Turns(1)
    turns.ask(0, 1, 2)

    async def two_are_back() -> bool:
        return len(turns.handed_back) == 2

    await eventually(two_are_back)
    assert turns.handed_back == [1, 2]
    turns.end(0)
    assert turns.run == [0]
    assert turns.slots.unused == 1


class Args(BaseModel):
    slow: bool = False


class Gauge:
    """How many attempts run now, and how many ran at once at most; slow ones wait for `go_on`."""

    def __init__(self) -> None:
        self.now = self.most = self.slow = 0
        self.go_on = asyncio.Event()


gauge = Gauge()


@job("measured")
async def measured(_ctx: Context, args: Args) -> None:
    gauge.now += 1
    gauge.most = max(gauge.most, gauge.now)
    if args.slow:
        gauge.slow += 1
        await gauge.go_on.wait()
    else:
        await asyncio.sleep(0)
    gauge.now -= 1


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    gauge.__init__()  # type: ignore[misc]
    async with open_desk(settings, measured) as opened:
        yield opened


async def _enqueue_fast_then_slow(desk: Desk) -> list[str]:
    """Enqueue enough fast jobs for the worker to prefetch, and slow ones behind them."""
    fast = [await desk.enqueue(measured) for _ in range(60)]
    return fast + [await desk.enqueue(measured, {"slow": True}) for _ in range(12)]


async def _nothing_waits(worker: Worker) -> None:
    """Wait until the slow jobs have all slots, and everything prefetched is back on the queue."""

    async def only_the_slow_run() -> bool:
        return gauge.slow == 3 and len(performer_of(worker.ctx).workload.held_ids) == 3

    await eventually(only_the_slow_run)
    gauge.go_on.set()


async def test_jobs_prefetched_behind_slow_ones_go_back_and_end_all_the_same(desk: Desk, settings: Settings) -> None:
    ids = await _enqueue_fast_then_slow(desk)
    async with running_worker(settings.model_copy(update={"max_jobs": 3}), catalogue_of(measured)) as worker:
        await _nothing_waits(worker)
        rows = [await desk.ended(job_id) for job_id in ids]
    assert gauge.most == 3
    assert {(row["state"], row["failures"], row["crashes"]) for row in rows} == {("succeeded", 0, 0)}


async def test_stopping_hands_back_attempts_that_wait_for_a_slot(desk: Desk, settings: Settings) -> None:
    ids = await _enqueue_fast_then_slow(desk)
    async with running_worker(settings.model_copy(update={"max_jobs": 3}), catalogue_of(measured)) as worker:

        async def slots_are_taken() -> bool:
            return gauge.slow == 3

        await eventually(slots_are_taken)
        releasing = asyncio.create_task(_nothing_waits(worker))
    await releasing
    states = [(await desk.row(job_id))["state"] for job_id in ids]
    assert states.count("running") == 0
    assert states.count("succeeded") == 63
    assert states.count("queued") == 9


async def test_slots_are_held_for_attempts_that_must_begin_at_once() -> None:
    turns = Turns(2)
    turns.ask(0, 1, 2, 3, 4)
    holding = asyncio.create_task(turns.slots.hold(2))
    await asyncio.sleep(0)
    turns.end(0)  # its slot goes to the hold, before the attempts that wait
    assert await holding == 1
    assert turns.run == [0, 1]
    turns.ask(9)
    assert turns.run == [0, 1, 9]
    turns.end(9)
    assert turns.run == [0, 1, 2, 9]


async def test_held_slots_that_are_not_needed_go_to_waiting_attempts() -> None:
    turns = Turns(1)
    assert await turns.slots.hold(3) == 1
    turns.ask(0)
    turns.ask(1)
    assert turns.run == [0]
    turns.slots.release()
    assert turns.run == [0]
    assert await turns.slots.hold(1) == 0
    turns.end(0)
    assert turns.run == [0, 1]
