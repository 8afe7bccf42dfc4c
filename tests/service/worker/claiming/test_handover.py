"""A child of what has ended here begins here, unless something says that it has to wait as others do."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, job
from service.errors import LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.models import NewJob
from service.ledger.records.lanes import record_rule
from service.lifecycle.new_job import new_job
from service.options import Options
from service.queue import Entry, Queue, key_of
from service.settings import Settings
from service.worker.claiming.starts import Starts
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
    """Wait until a worker waits for work."""

    async def is_idle() -> bool:
        take: Any = performer_of(worker.ctx).take_released
        return bool(take.__self__._waiting.is_idle)

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


@pytest.mark.parametrize("width", [3, 4])
async def test_a_fan_begins_here_if_there_are_slots_for_all_of_it(
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
        assert {one.id for one in fan} & set(put) == (set() if width == 3 else {one.id for one in fan})
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


async def test_a_start_that_cannot_be_recorded_costs_nothing(
    desk: Desk, worker: Worker, put: list[str], notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Starts.record

    async def fail(starts: Starts, *args: Any, **options: Any) -> Any:
        if options.get("handed_over"):
            raise LedgerUnavailable("away")
        return await record(starts, *args, **options)

    monkeypatch.setattr(Starts, "record", fail)
    first = made("1", held=True)
    child = made("child", first)
    await begins(notes, desk, first, child)
    await idles(worker)
    notes.gates["1"].set()
    assert (await desk.ended(child.id))["attempt"] == 1
    assert child.id in put


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
