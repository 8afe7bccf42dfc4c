"""Slots: how many attempts run at once, and how many are started before there is a slot for them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from jobs import Context, job
from service.ledger.models import Started
from service.settings import Settings
from service.worker.performing.performer import performer_of
from service.worker.performing.slots import Slots
from service.worker.worker import Worker
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def started(number: int) -> Started:
    return Started(f"job-{number}", "quick", 1, 0, 0, 5, "{}", None, "default", None, NOW, "w", NOW)


class Runs:
    """What slots have run and handed back, by number."""

    def __init__(self, count: int) -> None:
        self.run: list[Started] = []
        self.handed_back: list[Started] = []
        self.slots = Slots(self.run.append, self.handed_back.append)
        self.slots.count = count


async def test_no_more_run_at_once_than_there_are_slots_and_the_first_come_first() -> None:
    runs = Runs(2)
    for number in range(4):
        runs.slots.take(started(number))
    assert runs.run == [started(0), started(1)]
    runs.slots.end()
    assert runs.run == [started(0), started(1), started(2)]
    for _ in range(3):
        runs.slots.end()
    assert runs.run == [started(number) for number in range(4)]


async def test_slow_attempts_leave_no_room_beyond_the_slots() -> None:
    runs = Runs(3)
    assert runs.slots.room == 3
    runs.slots.take(started(0))
    assert runs.slots.room == 2
    runs.slots.take(started(1))
    runs.slots.take(started(2))
    assert runs.slots.room == 0


async def test_fast_attempts_make_room_ahead_within_bounds() -> None:
    runs = Runs(2)
    for number in range(100):
        runs.slots.take(started(number))
        runs.slots.end()
    assert runs.slots.room == 2 + 10 * 2
    for number in range(11):
        runs.slots.take(started(number))
    assert runs.slots.room == 11
    runs.slots.take(started(11))
    assert runs.slots.room == 0, "most of those started ahead still wait"


async def test_what_waits_too_long_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.performing.slots._WAITS_AT_MOST_S", 0.05)
    runs = Runs(1)
    for number in range(3):
        runs.slots.take(started(number))

    async def two_are_back() -> bool:
        return len(runs.handed_back) == 2

    await eventually(two_are_back)
    assert runs.handed_back == [started(1), started(2)]
    runs.slots.end()
    assert runs.run == [started(0)]


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
    """Enqueue so many fast jobs that the worker looks ahead, and behind them slow ones."""
    fast = [await desk.enqueue(measured) for _ in range(60)]
    return fast + [await desk.enqueue(measured, {"slow": True}) for _ in range(12)]


async def _nothing_waits(worker: Worker) -> None:
    """Wait until the slow ones have all slots, and whatever was started beside them is back on the queue."""

    async def only_the_slow_run() -> bool:
        return gauge.slow == 3 and len(performer_of(worker.ctx).held_ids) == 3

    await eventually(only_the_slow_run)
    gauge.go_on.set()


async def test_jobs_started_ahead_of_slow_ones_go_back_and_end_all_the_same(desk: Desk, settings: Settings) -> None:
    ids = await _enqueue_fast_then_slow(desk)
    async with running_worker(settings.model_copy(update={"max_jobs": 3}), catalogue_of(measured)) as worker:
        await _nothing_waits(worker)
        rows = [await desk.ended(job_id) for job_id in ids]
    assert gauge.most == 3
    assert {(row["state"], row["failures"], row["crashes"]) for row in rows} == {("succeeded", 0, 0)}


async def test_stopping_hands_back_what_waits_for_a_slot(desk: Desk, settings: Settings) -> None:
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


async def test_slots_are_held_for_what_must_begin_at_once() -> None:
    runs = Runs(2)
    for number in range(5):
        runs.slots.take(started(number))
    holding = asyncio.create_task(runs.slots.hold(2))
    await asyncio.sleep(0)
    runs.slots.end()  # goes to who holds, before what waits
    assert await holding == 1
    assert runs.run == [started(0), started(1)]
    runs.slots.take(started(9))
    assert runs.run == [started(0), started(1), started(9)]
    runs.slots.end()
    assert runs.run[-1] == started(2)


async def test_held_slots_that_are_not_needed_go_to_what_waits() -> None:
    runs = Runs(1)
    assert await runs.slots.hold(3) == 1
    runs.slots.take(started(0))
    runs.slots.take(started(1))
    assert runs.run == [started(0)]
    runs.slots.release()
    assert runs.run == [started(0)]
    assert await runs.slots.hold(1) == 0
    runs.slots.end()
    assert runs.run == [started(0), started(1)]
