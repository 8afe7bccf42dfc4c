"""What an attempt keeps, over a real worker and a real ledger."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection

from jobs import Context, Retry, RetryPolicy, job
from jobs.kit.steps import Given
from service.errors import LedgerUnavailable
from service.ledger import ledger as module
from service.ledger.ledger import Ledger
from service.ledger.models import Finish
from service.ledger.reads import particulars
from service.ledger.reads.kept import kept_by
from service.ledger.records.kept import Step, record_steps
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.worker.performing.attempt import performer_of
from service.worker.performing.steps import RecordedSteps
from tests.service.ledger.makers import finish, running
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

AT_ONCE = RetryPolicy(base=0.001, cap=0.001)


class Args(BaseModel):
    name: str = "Ann"


@dataclass
class Point:
    x: float
    at: datetime


class Row(BaseModel):
    name: str
    points: list[Point]
    took: timedelta


ROW = Row(name="ann", points=[Point(1.5, datetime(2026, 1, 2, tzinfo=UTC))], took=timedelta(seconds=3))
SEEN: list[Any] = []
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    SEEN.clear()
    CALLS.clear()


def make_row() -> Row:
    CALLS.append("row")
    return ROW


@job("typed", max_attempts=2, retry=AT_ONCE)
async def typed(ctx: Context, _args: Args) -> None:
    SEEN.append((await ctx.step("row", make_row), await ctx.step("plain", lambda: ROW)))
    if ctx.attempt == 1:
        raise ValueError("again")


async def slow(number: int) -> int:
    CALLS.append("slow")
    await asyncio.sleep(0)
    return number


@job("gathers")
async def gathers(ctx: Context, _args: Args) -> int:
    return sum(await asyncio.gather(*(ctx.step(f"s{number}", slow, number) for number in range(100))))


@job("unwritable", max_attempts=2, retry=AT_ONCE)
async def unwritable(ctx: Context, _args: Args) -> None:
    await ctx.step("good", slow, 1)
    await ctx.step("bad", lambda: object())


@job("twice", max_attempts=1)
async def twice(ctx: Context, _args: Args) -> None:
    await ctx.step("a", slow, 1)
    await ctx.step("a", slow, 1)


@job("goes_on_after", timeout=30)
async def goes_on_after(ctx: Context, _args: Args) -> None:
    await ctx.step("first", slow, 1)
    SEEN.append("in")
    try:
        while "out" not in SEEN:
            await asyncio.sleep(0.01)
    finally:
        CALLS.append("tries")
        try:
            await ctx.step("late", slow, 2)
        finally:
            CALLS.append("refused")
    CALLS.append("went on")


@job("snoozes", max_attempts=1)
async def snoozes(ctx: Context, _args: Args) -> Any:
    SEEN.append(ctx.restored)
    await ctx.checkpoint({"attempt": ctx.attempt})
    if ctx.attempt < 3:
        raise Retry(after=0.01)
    return ctx.restored


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    kinds = (typed, gathers, unwritable, twice, goes_on_after, snoozes)
    async with open_desk(settings, *kinds) as opened:
        yield opened


@pytest.fixture
async def worker(desk: Desk, settings: Settings) -> AsyncIterator[Any]:
    async with running_worker(settings, desk.resources.catalogue) as opened:
        yield opened


async def kept(desk: Desk, job_id: str) -> dict[str, Any]:
    async with desk.ledger.read() as connection:
        steps = (await kept_by(connection, [job_id]))[job_id].steps
    return {step["name"]: json.loads(step["result"]) for step in steps}


@pytest.mark.usefixtures("worker")
async def test_a_retry_sees_the_very_values_that_the_first_attempt_saw(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(typed))
    assert (row["state"], row["attempt"]) == ("succeeded", 2)
    assert SEEN[0] == SEEN[1]
    assert SEEN[0][0] == ROW
    assert isinstance(SEEN[1][0].points[0], Point)
    assert CALLS == ["row"]


@pytest.mark.usefixtures("worker")
async def test_an_attempt_that_cannot_be_given_what_was_kept_costs_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, away = particulars.steps_of, iter([LedgerUnavailable("away")])

    async def steps_of(connection: Any, ids: Sequence[str]) -> Any:
        for error in away:
            raise error
        return await read(connection, ids)

    monkeypatch.setattr(particulars, "steps_of", steps_of)
    job_id = await desk.enqueue(typed)
    row = await desk.ended(job_id)
    assert (row["state"], row["failures"]) == ("succeeded", 1)
    assert await desk.outcomes(job_id) == ["failed", "interrupted", "succeeded"]
    assert CALLS == ["row"]


@pytest.mark.usefixtures("worker")
async def test_a_hundred_steps_at_once_are_a_few_transactions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []

    def counted(connection: Connection, steps: Sequence[Step]) -> list[bool]:
        groups.append(len(steps))
        return record_steps(connection, steps)

    monkeypatch.setattr(module, "record_steps", counted)
    job_id = await desk.enqueue(gathers)
    row = await desk.ended(job_id)
    assert (row["state"], row["result"]) == ("succeeded", "4950")
    assert sum(groups) == 100
    assert len(groups) <= 5
    assert len(await kept(desk, job_id)) == 100


@pytest.mark.usefixtures("worker")
async def test_an_unwritable_result_fails_the_attempt_and_says_which_step_it_was(desk: Desk) -> None:
    job_id = await desk.enqueue(unwritable)
    row = await desk.ended(job_id)
    assert (row["state"], row["attempt"], row["error_type"]) == ("failed", 2, "StepUnwritable")
    assert "step 'bad'" in row["error_message"]
    assert (await kept(desk, job_id), CALLS) == ({"good": 1}, ["slow"])


@pytest.mark.usefixtures("worker")
async def test_a_name_used_twice_fails_the_attempt(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(twice))
    assert (row["state"], row["error_type"]) == ("failed", "StepRepeated")


async def test_an_interrupted_attempt_may_still_keep_what_it_cleans_up(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, desk.resources.catalogue) as worker:
        job_id = await desk.enqueue(goes_on_after)
        await eventually(_is_in)
        await worker_interrupts(worker, job_id)
        await eventually(_tried)
        SEEN.append("out")
        row = await desk.ended(job_id)
    assert (row["state"], row["failures"]) == ("succeeded", 0)
    assert set(await kept(desk, job_id)) == {"first", "late"}
    assert CALLS.count("slow") == 2


async def worker_interrupts(worker: Any, job_id: str) -> None:
    attempt = performer_of(worker.ctx).workload.attempt_of(job_id)
    assert attempt is not None
    attempt.stop(Outcome.INTERRUPTED)


async def _is_in() -> bool:
    return "in" in SEEN


async def _tried() -> bool:
    return "refused" in CALLS


@pytest.mark.usefixtures("worker")
async def test_an_attempt_that_was_taken_away_keeps_nothing_and_goes_no_further(desk: Desk) -> None:
    job_id = await desk.enqueue(goes_on_after)
    await eventually(_is_in)
    row = await desk.row(job_id)
    taken = finish_of_row(row)
    assert await desk.ledger.finish(taken) is not None
    SEEN.append("out")
    await eventually(_tried)
    assert set(await kept(desk, job_id)) == {"first"}
    assert "went on" not in CALLS


def finish_of_row(row: Any) -> Any:
    at = datetime.now(UTC)
    names = (row["id"], row["kind"], row["attempt"], "another")
    return Finish(*names, Outcome.CRASHED, State.FAILED, at, crashes=1)


@pytest.mark.usefixtures("worker")
async def test_a_checkpoint_is_restored_by_the_attempt_after(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(snoozes, max_attempts=5))
    assert json.loads(row["result"]) == {"attempt": 2}
    assert SEEN == [None, {"attempt": 1}, {"attempt": 2}]


async def test_a_step_is_written_as_soon_as_the_database_is_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await running(ledger)
    steps = RecordedSteps(ledger, started, Given())
    write, refused = ledger.keep_step, iter([LedgerUnavailable("away"), LedgerUnavailable("away")])

    async def keep_step(step: Step) -> bool:
        for error in refused:
            raise error
        return await write(step)

    monkeypatch.setattr(ledger, "keep_step", keep_step)
    assert await steps.step("a", slow, (1,), {}) == 1
    assert CALLS == ["slow"]
    async with ledger.read() as connection:
        assert [step["name"] for step in (await kept_by(connection, [started.id]))[started.id].steps] == ["a"]


async def test_a_refused_step_ends_the_attempt_as_a_cancellation(ledger: Ledger) -> None:
    started = await running(ledger)
    steps = RecordedSteps(ledger, started, Given())
    await ledger.finish(finish(started, Outcome.CRASHED, State.QUEUED, crashes=1))
    with pytest.raises(asyncio.CancelledError):
        await steps.step("a", slow, (1,), {})
    with pytest.raises(asyncio.CancelledError):
        await steps.checkpoint(1)


async def test_a_step_that_has_run_is_kept_although_the_attempt_is_cancelled_meanwhile(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await running(ledger)
    steps = RecordedSteps(ledger, started, Given())
    write, writing = ledger.keep_step, asyncio.Event()

    async def keep_step(step: Step) -> bool:
        if not writing.is_set():
            writing.set()
            await asyncio.Event().wait()  # for a group that this write was withdrawn from
        return await write(step)

    monkeypatch.setattr(ledger, "keep_step", keep_step)
    attempt = asyncio.create_task(steps.step("a", slow, (1,), {}))
    await writing.wait()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    async with ledger.read() as connection:
        assert [step["name"] for step in (await kept_by(connection, [started.id]))[started.id].steps] == ["a"]
