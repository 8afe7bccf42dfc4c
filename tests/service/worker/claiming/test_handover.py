"""A child of what has ended here begins here, unless something says that it has to wait as others do."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, job
from service.errors import LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, NewJob
from service.ledger.records.lanes import record_rule
from service.lifecycle.new_job import new_job
from service.options import Options
from service.queue import Entry, Queue, key_of
from service.queue.keys import wake_key_of
from service.settings import Settings
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.performing.attempt import performer_of
from service.worker.worker import Worker
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


@dataclass
class Notes:
    """What ran, in its order; jobs that are held end once their gate is opened."""

    ran: list[str] = field(default_factory=list)
    gates: defaultdict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))


NOTES = Notes()


class Args(BaseModel):
    name: str
    held: bool = False


@job("note")
async def note(_ctx: Context, args: Args) -> None:
    NOTES.ran.append(args.name)
    if args.held:
        await NOTES.gates[args.name].wait()


@job("other")
async def other(_ctx: Context, args: Args) -> None:
    NOTES.ran.append(args.name)


@pytest.fixture
def notes() -> Notes:
    NOTES.__init__()  # type: ignore[misc]
    return NOTES


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, note, other) as opened:
        yield opened


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    async with running_worker(settings, catalogue_of(note, other)) as running:
        yield running


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that are put on queues."""
    ids: list[str] = []
    really_put = Queue.put

    async def note_put(queue: Queue, entries: Iterable[Entry]) -> None:
        some = list(entries)
        ids.extend(entry.id for entry in some)
        await really_put(queue, some)

    monkeypatch.setattr(Queue, "put", note_put)
    return ids


def made(name: str, *after: NewJob, held: bool = False, **fields: Any) -> NewJob:
    one = new_job(note, Args(name=name, held=held), Options(), datetime.now(UTC))
    return replace(one, after=tuple(parent.id for parent in after), **fields)


async def idles(worker: Worker) -> None:
    """Wait until a worker waits for work, and no token is left or on its way to wake it."""
    performer = performer_of(worker.ctx)
    finish_all: Any = performer.finishing.finish_all
    redis: Any = performer.resources.queue.redis

    async def is_idle() -> bool:
        no_token = await redis.llen(wake_key_of("default")) == 0
        await redis.ping()
        return no_token and bool(finish_all.__self__._waiting.is_idle)

    await eventually(is_idle)


async def begins(notes: Notes, desk: Desk, parent: NewJob, *others: NewJob) -> None:
    """Enqueue jobs, and wait until the first one runs."""
    await desk.lifecycle.enqueue([parent, *others])

    async def runs() -> bool:
        return bool(notes.ran)

    await eventually(runs)


async def test_a_chain_never_goes_through_redis_beyond_its_first_job(
    desk: Desk, worker: Worker, put: list[str], notes: Notes
) -> None:
    first = made("1", held=True)
    second = made("2", first)
    third = made("3", second)
    await begins(notes, desk, first, second, third)
    await idles(worker)
    notes.gates["1"].set()
    assert (await desk.ended(third.id))["state"] == "succeeded"
    assert (notes.ran, put) == (["1", "2", "3"], [first.id])
    assert [len(await desk.attempts(one.id)) for one in (second, third)] == [1, 1]


@pytest.mark.parametrize("width", [3, 5])
async def test_of_a_fan_as_many_begin_here_as_there_are_slots_and_the_others_go_on_the_queue(
    desk: Desk, settings: Settings, put: list[str], notes: Notes, width: int
) -> None:
    few = settings.model_copy(update={"max_jobs": 3})
    async with running_worker(few, catalogue_of(note, other)) as worker:
        first = made("1", held=True)
        fan = [made(f"fan {number}", first) for number in range(width)]
        last = made("last", *fan)
        await begins(notes, desk, first, *fan, last)
        await idles(worker)
        notes.gates["1"].set()
        await desk.ended(last.id)
        assert len({one.id for one in fan} & set(put)) == width - 3
        assert (notes.ran[-1], len(notes.ran)) == ("last", width + 2)
        assert performer_of(worker.ctx).workload.slots.unused == 3


async def test_what_waits_on_the_queue_goes_ahead(desk: Desk, settings: Settings, notes: Notes) -> None:
    one_slot = settings.model_copy(update={"max_jobs": 1})
    async with running_worker(one_slot, catalogue_of(note, other)):
        first = made("1", held=True)
        child = made("child", first)
        await begins(notes, desk, first, child)
        waits = made("waits")
        await desk.lifecycle.enqueue([waits])
        notes.gates["1"].set()
        await desk.ended(child.id)
        assert notes.ran == ["1", "waits", "child"]


@pytest.mark.parametrize("key", ["kind:other", "queue:default"])
async def test_what_is_paused_is_not_handed_over_from_the_commit_of_the_pause_on(
    desk: Desk, worker: Worker, put: list[str], notes: Notes, key: str
) -> None:
    first = made("1", held=True)
    child = replace(made("child", first), kind="other")
    await begins(notes, desk, first, child)
    await idles(worker)
    # In the ledger alone: neither Redis nor the worker has heard of it yet.
    await desk.ledger.database.run(
        lambda connection: record_rule(connection, key, {"paused": True}, now_by(connection))
    )
    notes.gates["1"].set()

    async def is_put() -> bool:
        return child.id in put

    await eventually(is_put)  # where Redis holds it back, once it has heard of the pause


async def test_what_no_worker_here_works_goes_on_its_own_queue(
    desk: Desk, worker: Worker, put: list[str], notes: Notes
) -> None:
    first = made("1", held=True)
    child = made("child", first, queue="elsewhere")
    await begins(notes, desk, first, child)
    await idles(worker)
    notes.gates["1"].set()

    async def waits_there() -> bool:
        return await desk.queue.redis.zscore(key_of("elsewhere"), child.id) is not None

    await eventually(waits_there)
    assert (await desk.row(child.id))["state"] == "queued"
    assert performer_of(worker.ctx).workload.slots.unused == worker.max_jobs


async def test_a_job_in_a_lane_waits_for_it(desk: Desk, worker: Worker, put: list[str], notes: Notes) -> None:
    first = made("1", held=True)
    child = made("child", first, lane="tenant:1")
    await begins(notes, desk, first, child)
    await idles(worker)
    notes.gates["1"].set()
    await desk.ended(child.id)
    assert child.id in put


async def test_a_child_that_came_while_its_parent_ran_begins_here_too(
    desk: Desk, worker: Worker, put: list[str], notes: Notes
) -> None:
    first = made("1", held=True)
    await begins(notes, desk, first)
    child = made("child", first)
    await desk.lifecycle.enqueue([child])
    await idles(worker)
    notes.gates["1"].set()
    await desk.ended(child.id)
    assert (notes.ran, child.id in put) == (["1", "child"], False)


async def test_a_finish_during_an_outage_begins_nothing_twice(
    desk: Desk, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = []

    async def fail_once(_ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        monkeypatch.undo()
        wishes.append(finishes[0].hand_over)
        raise LedgerUnavailable("away")

    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    monkeypatch.setattr(Ledger, "finish_all", fail_once)
    notes.gates["1"].set()
    assert (await desk.ended(child.id))["attempt"] == 1
    assert (notes.ran, len(wishes), None in wishes) == (["1", "child"], 1, False)


async def test_a_start_that_fails_does_not_cost_the_outcome_it_came_with(
    desk: Desk, worker: Worker, put: list[str], notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> Any:
        raise ValueError("a fault of ours")

    monkeypatch.setattr("service.ledger.records.finished.record_handed_over", fail)
    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    notes.gates["1"].set()
    await desk.ended(child.id)
    assert (notes.ran, child.id in put) == (["1", "child"], True)
    assert [attempt["outcome"] for attempt in await desk.attempts(first.id)] == ["succeeded"]


async def test_a_finish_that_takes_long_holds_up_no_claim(
    desk: Desk, settings: Settings, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, recording, goes_on = Ledger.finish_all, asyncio.Event(), asyncio.Event()

    async def record_late(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        monkeypatch.undo()
        recording.set()
        await goes_on.wait()
        return await record(ledger, finishes)

    two = settings.model_copy(update={"max_jobs": 2})
    async with running_worker(two, catalogue_of(note, other)) as worker:
        first = made("1", held=True)
        fan = [made(f"fan {number}", first) for number in range(2)]
        await begins(notes, desk, first, *fan)
        await idles(worker)
        monkeypatch.setattr(Ledger, "finish_all", record_late)
        notes.gates["1"].set()
        await recording.wait()
        meanwhile = [made(f"meanwhile {number}", held=True) for number in range(2)]
        await desk.lifecycle.enqueue(meanwhile)

        async def both_run() -> bool:
            return len(notes.ran) == 3

        await eventually(both_run)
        goes_on.set()
        await desk.ended(first.id)
        for number in range(2):
            notes.gates[f"meanwhile {number}"].set()
        for one in (*meanwhile, *fan):
            await desk.ended(one.id)
        assert performer_of(worker.ctx).workload.slots.unused == 2


async def test_a_job_that_this_worker_holds_already_does_not_begin_beside_itself(
    desk: Desk, worker: Worker, notes: Notes
) -> None:
    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    workload = performer_of(worker.ctx).workload
    workload.reserve([child.id])  # as a claim of its id does meanwhile
    notes.gates["1"].set()
    await desk.ended(first.id)
    assert (notes.ran, (await desk.row(child.id))["state"]) == (["1"], "running")
    workload.release([child.id])
    assert (await desk.ended(child.id))["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in await desk.attempts(child.id)] == ["interrupted", "succeeded"]


async def test_what_begins_by_a_finish_whose_answer_is_lost_is_handed_back(
    desk: Desk, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Ledger.finish_all

    async def lose_the_answer(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        monkeypatch.undo()
        await record(ledger, finishes)
        raise LedgerUnavailable("away")

    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    monkeypatch.setattr(Ledger, "finish_all", lose_the_answer)
    notes.gates["1"].set()
    assert (await desk.ended(child.id))["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in await desk.attempts(child.id)] == ["interrupted", "succeeded"]
    assert notes.ran == ["1", "child"]


async def test_what_has_just_begun_by_a_finish_is_not_taken_for_unknown(
    desk: Desk, worker: Worker, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, committed, told = Ledger.finish_all, asyncio.Event(), asyncio.Event()

    async def tell_late(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        monkeypatch.undo()
        finished = await record(ledger, finishes)
        committed.set()
        await told.wait()
        return finished

    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    monkeypatch.setattr(Ledger, "finish_all", tell_late)
    notes.gates["1"].set()
    await committed.wait()
    performer = performer_of(worker.ctx)
    lease = WorkerLease(performer.resources, performer.lifecycle, performer.workload)
    looking = asyncio.create_task(lease.hand_back_unknown())
    await asyncio.wait({looking}, timeout=0.1)
    told.set()
    await looking
    await desk.ended(child.id)
    assert [attempt["outcome"] for attempt in await desk.attempts(child.id)] == ["succeeded"]


async def test_a_worker_that_stops_hands_nothing_over_to_itself(
    desk: Desk, settings: Settings, put: list[str], notes: Notes
) -> None:
    first = made("1", held=True)
    child = made("child", first)
    async with running_worker(settings, catalogue_of(note, other)) as worker:
        await begins(notes, desk, first, child)
        await idles(worker)
        worker.handle_sig(15)  # type: ignore[arg-type]  # SIGTERM
        await asyncio.sleep(0)
        notes.gates["1"].set()
        await desk.ended(first.id)
    assert (notes.ran, (await desk.row(child.id))["state"]) == (["1"], "queued")
    assert await desk.attempts(child.id) == []
    assert child.id in put
