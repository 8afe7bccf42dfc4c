"""Changes while workers claim: one of the two wins completely, and limits hold."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import Lane
from service.errors import StateForbids
from service.ledger.states import State
from service.lifecycle.change import Wanted
from service.lifecycle.new_job import new_job
from service.options import Options
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support.changing_kinds import NotesArgs, notes, take_notes
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

CATALOGUE = catalogue_of(take_notes)


@pytest.fixture(autouse=True)
def fresh_notes() -> None:
    notes.__init__()  # type: ignore[misc]


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, take_notes) as opened:
        yield opened


async def enqueue(desk: Desk, args: dict[str, Any] | None = None, **options: Any) -> str:
    return await desk.enqueue(take_notes, args, **options)


async def change(desk: Desk, job_id: str, **wanted: Any) -> bool:
    """Change a job; whether it was not too late."""
    try:
        await desk.lifecycle.change(job_id, "notes", Wanted(**wanted))  # type: ignore[typeddict-item]
    except StateForbids:
        return False
    return True


async def change_at(moment: datetime, desk: Desk, job_id: str, **wanted: Any) -> bool:
    await asyncio.sleep((moment - datetime.now(UTC)).total_seconds())
    return await change(desk, job_id, **wanted)


async def some_began() -> bool:
    return any(seen[0][0] == "free" for seen in notes.seen.values())


async def change_once_some_began(moment: datetime, desk: Desk, job_id: str, **wanted: Any) -> bool:
    await eventually(some_began)
    return await change_at(moment, desk, job_id, **wanted)


async def state_of(desk: Desk, job_id: str) -> str:
    return str((await desk.row(job_id))["state"])


async def all_ended(desk: Desk, ids: Sequence[str]) -> None:
    for job_id in ids:
        assert (await desk.ended(job_id))["state"] == State.SUCCEEDED


async def test_an_attempt_is_given_all_of_a_change_or_none_of_it(desk: Desk, settings: Settings) -> None:
    ids, changed = [], dict[str, bool]()
    async with running_worker(settings, CATALOGUE):
        for _ in range(15):
            some = [await enqueue(desk, {"name": "old"}, timeout=timedelta(seconds=7)) for _ in range(20)]
            wanted = {"args": NotesArgs(name="new"), "timeout": timedelta(seconds=9), "priority": 1}
            done = await asyncio.gather(*(change(desk, job_id, **wanted) for job_id in some))
            changed |= zip(some, done, strict=True)
            ids += some
        await all_ended(desk, ids)
    for job_id in ids:
        assert notes.seen[job_id] == [("new", 9.0) if changed[job_id] else ("old", 7.0)]
    assert set(changed.values()) == {True, False}


async def test_the_limits_of_a_lane_hold_for_jobs_that_come_into_it_while_they_are_claimed(
    desk: Desk, settings: Settings
) -> None:
    """Changed jobs run one at a time, beside the ones that had already started."""
    async with running_worker(settings, CATALOGUE), running_worker(settings, CATALOGUE):
        due = datetime.now(UTC) + timedelta(seconds=2)
        enqueues = [enqueue(desk, {"name": "free", "seconds": 0.01}, run_at=due) for _ in range(120)]
        ids = await asyncio.gather(*enqueues)
        wanted = {"lane": Lane("one", concurrency=1), "args": NotesArgs(name="limited", seconds=0.01)}
        around = [due + timedelta(milliseconds=4 * n - 400) for n in range(120)]
        early = [change_at(at, desk, job_id, **wanted) for at, job_id in zip(around[:90], ids[:90], strict=True)]
        late = [
            change_once_some_began(at, desk, job_id, **wanted) for at, job_id in zip(around[90:], ids[90:], strict=True)
        ]
        done = await asyncio.gather(*early, *late)
        await all_ended(desk, ids)
    limited = [notes.seen[job_id][0][0] == "limited" for job_id in ids]
    assert limited == done
    assert 0 < sum(done) < 120
    assert notes.most["limited"] == 1


async def test_the_limits_of_a_lane_hold_for_jobs_that_go_from_one_to_another_and_out(
    desk: Desk, settings: Settings
) -> None:
    lanes = [Lane(f"lane-{n}", concurrency=1) for n in range(3)]
    async with running_worker(settings, CATALOGUE), running_worker(settings, CATALOGUE):
        ids = [await enqueue(desk, {"name": "0", "seconds": 0.01}, lane=lanes[0]) for _ in range(60)]
        for n, lane in enumerate([*lanes[1:], None], 1):
            wanted = {"lane": lane, "args": NotesArgs(name=str(n), seconds=0.01)}
            await asyncio.gather(*(change(desk, job_id, **wanted) for job_id in ids))
            await asyncio.sleep(0.05)
        await all_ended(desk, ids)
        left = await eventually(lambda: _nothing_runs(desk, lanes))
    assert left
    assert [notes.most[str(n)] <= 1 for n in range(3)] == [True] * 3


async def _nothing_runs(desk: Desk, lanes: list[Lane]) -> bool:
    states = await desk.queue.lanes.states([lane.key for lane in lanes])
    return all(state.running == 0 and state.waiting == 0 for state in states.values())


async def test_a_job_runs_when_it_is_to_run_now_and_not_when_it_was_to(desk: Desk, settings: Settings) -> None:
    soon, far = timedelta(seconds=1), timedelta(days=1)
    later = await enqueue(desk, {"name": "later"}, delay=soon)
    nearer = await enqueue(desk, {"name": "nearer"}, delay=far)
    at_once = await enqueue(desk, {"name": "at once"}, delay=far)
    async with running_worker(settings, CATALOGUE):
        now = datetime.now(UTC)
        assert await change(desk, later, run_at=now + far)
        assert await change(desk, nearer, run_at=now + soon)
        await desk.lifecycle.run_now(at_once)
        await all_ended(desk, [at_once, nearer])
        assert datetime.now(UTC) >= now + soon
        assert await state_of(desk, later) == State.SCHEDULED
        await desk.lifecycle.run_now(later)
        await all_ended(desk, [later])


async def test_a_job_runs_on_the_queue_that_it_was_moved_to(desk: Desk, settings: Settings) -> None:
    other = settings.model_copy(update={"queues": ("other",)})
    ids = [await enqueue(desk, {"name": "moved"}) for _ in range(30)]
    assert all([await change(desk, job_id, queue="other") for job_id in ids])
    async with running_worker(settings, CATALOGUE):
        await desk.ended(await enqueue(desk))
        assert {await state_of(desk, job_id) for job_id in ids} == {State.QUEUED}
        async with running_worker(other, CATALOGUE):
            await all_ended(desk, ids)


async def test_an_id_that_redis_kept_in_its_old_place_is_sent_to_its_new_one(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was away when the jobs were moved: their old places offer them, and their starts are refused."""
    other = settings.model_copy(update={"queues": ("other",)})
    moves: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {"queue": "other"}),
        ({}, {"lane": Lane("a", concurrency=1)}),
        ({"lane": Lane("a")}, {"lane": None}),
        ({"lane": Lane("a")}, {"lane": Lane("b")}),
        ({"lane": Lane("a")}, {"queue": "other"}),
        ({"lane": Lane("a")}, {"queue": "other", "lane": None, "priority": -1}),
        ({}, {"run_at": datetime.now(UTC) + timedelta(hours=1)}),
    ]
    ids = []
    for options, changes in moves:
        job_id = await enqueue(desk, {"name": "x"}, **options)
        wanted = Wanted(**changes)  # type: ignore[typeddict-item]
        with monkeypatch.context() as away:
            away.setattr(desk.lifecycle.dispatcher, "move", _to_nobody)
            await desk.lifecycle.change(job_id, "notes", wanted)
        ids.append(job_id)
    async with running_worker(settings, CATALOGUE), running_worker(other, CATALOGUE):
        async with asyncio.timeout(20):  # the sweep's look at single ids would find them, but later
            await all_ended(desk, ids[:-1])
        assert await state_of(desk, ids[-1]) == State.SCHEDULED
        assert len(notes.seen) == len(ids) - 1
        assert await eventually(lambda: _nothing_runs(desk, [Lane("a"), Lane("b")]))


async def _to_nobody(_changed: object) -> None:
    pass


async def test_a_shorter_timeout_ends_an_attempt_and_more_attempts_are_made(desk: Desk, settings: Settings) -> None:
    job_id = await enqueue(desk, {"name": "slow", "seconds": 30}, delay=timedelta(days=1))
    assert await change(desk, job_id, timeout=timedelta(milliseconds=50), max_attempts=3, run_at=None)
    async with running_worker(settings, CATALOGUE):
        ended = await desk.ended(job_id)
    assert (ended["state"], ended["error_type"]) == (State.FAILED, "TimedOut")
    assert len(notes.seen[job_id]) == 3


async def test_a_strict_lane_goes_on_when_its_head_is_changed(desk: Desk, settings: Settings) -> None:
    """Its head leaves it, or is due much later: the first holds up nobody, the second does until it has run."""
    lane = Lane("strict", order="strict")
    async with running_worker(settings, CATALOGUE):
        first, second, third = [
            await enqueue(desk, {"name": str(n)}, lane=lane, delay=timedelta(seconds=2)) for n in range(3)
        ]
        assert await change(desk, first, lane=None, run_at=datetime.now(UTC) + timedelta(days=1))
        await desk.lifecycle.run_now(second)
        await all_ended(desk, [second, third])
        assert await state_of(desk, first) == State.SCHEDULED


async def test_a_blocked_job_runs_with_its_changes_once_it_is_released(desk: Desk, settings: Settings) -> None:
    parent = new_job(take_notes, NotesArgs(name="parent"), Options(), datetime.now(UTC))
    child = new_job(take_notes, NotesArgs(name="old"), Options(), datetime.now(UTC), after=(parent.id,))
    await desk.lifecycle.enqueue([parent, child])
    lane = Lane("one", concurrency=1)
    assert await change(desk, child.id, args=NotesArgs(name="new"), lane=lane, timeout=timedelta(seconds=9))
    assert await state_of(desk, child.id) == State.BLOCKED
    async with running_worker(settings, CATALOGUE):
        await all_ended(desk, [parent.id, child.id])
    assert notes.seen[child.id] == [("new", 9.0)]
