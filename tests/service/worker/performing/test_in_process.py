"""Whatever happens between "the coroutine is over" and "its end is recorded": the job ends, and its slot comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, PlainSerializer
from structlog.testing import capture_logs

from jobs import Context, Kind, RetryPolicy, job
from service.settings import Settings
from service.worker.performing.attempt import Performer, performer_of
from service.worker.performing.failure import leaves_of
from tests.service.worker.desk import Desk, open_desk
from tests.service.worker.performing.test_failure import ODD, Hostile
from tests.support.running import catalogue_of, eventually, running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Args(BaseModel):
    name: str = ""
    seconds: float = 0


@job("odd", max_attempts=1)
async def odd(_ctx: Context, args: Args) -> None:
    error = ODD[args.name][0]()
    raise error


def _refuse(_value: Any) -> Any:
    raise Hostile


def _leave(_value: Any) -> Any:
    raise SystemExit(3)


@job("unwritable", max_attempts=1)
async def unwritable(_ctx: Context, _args: Args) -> Annotated[int, PlainSerializer(_refuse)]:
    return 1


@job("leaving", max_attempts=1)
async def leaving(_ctx: Context, _args: Args) -> Annotated[int, PlainSerializer(_leave)]:
    return 1


@job("stopping", max_attempts=1)
async def stopping(_ctx: Context, args: Args) -> None:
    raise StopIteration if args.name == "sync" else StopAsyncIteration


class Stuck(asyncio.Future[None]):
    """Cannot be cancelled, until the test is over and its loop cancels all."""

    refuses = True

    def cancel(self, msg: Any = None) -> bool:
        if self.refuses:
            raise RuntimeError("no")
        return super().cancel(msg)


@pytest.fixture(autouse=True)
async def _stuck_for_the_test() -> AsyncIterator[None]:
    """Async, so that it is over before its loop is."""
    Stuck.refuses = True
    yield
    Stuck.refuses = False


@job("swallows", timeout=0.2, max_attempts=1)
async def swallows(_ctx: Context, _args: Args) -> None:
    """Wait for a future that cannot be cancelled."""

    await Stuck()


@job("blocks", timeout=1, max_attempts=1)
async def blocks(_ctx: Context, args: Args) -> str:
    time.sleep(args.seconds)
    if args.name == "await":
        await asyncio.sleep(0.01)
    return "late"


@job("idle", timeout=1, max_attempts=1)
async def idle(_ctx: Context, _args: Args) -> None:
    await asyncio.sleep(60)


@job("fails", max_attempts=2, retry=RetryPolicy(base=0.01, cap=0.01))
async def fails(_ctx: Context, _args: Args) -> None:
    raise ValueError("out of ink")


KINDS = (odd, unwritable, leaving, stopping, swallows, blocks, idle, fails)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS) as opened:
        yield opened


@pytest.fixture
async def performer(settings: Settings) -> AsyncIterator[Performer]:
    async with running_worker(settings.model_copy(update={"max_jobs": 2}), catalogue_of(*KINDS)) as worker:

        async def begun() -> bool:
            return "postlude" in worker.ctx

        await eventually(begun)
        yield performer_of(worker.ctx)


async def _slots_are_back(performer: Performer) -> bool:
    workload = performer.workload
    return workload.slots.unused == 2 and not workload.running and workload.is_empty


async def test_odd_errors_end_their_jobs_and_free_the_slots(desk: Desk, performer: Performer) -> None:
    for name, (make, type_name) in ODD.items():
        row = await desk.ended(await desk.enqueue(odd, {"name": name}))
        told = "ValueError" if len(leaves_of(make())) == 1 and "Group" in type_name else type_name
        assert (name, row["state"], row["error_type"]) == (name, "failed", told)
    await eventually(lambda: _slots_are_back(performer))


@pytest.mark.parametrize(
    ("kind", "name", "error_type"),
    [
        (unwritable, "", None),
        (leaving, "", None),
        (stopping, "sync", "RuntimeError"),
        (stopping, "async", "StopAsyncIteration"),
    ],
)
async def test_odd_ends_of_a_coroutine_end_the_job(
    desk: Desk, performer: Performer, kind: Kind[Any, Any], name: str, error_type: str | None
) -> None:
    row = await desk.ended(await desk.enqueue(kind, {"name": name}))
    assert row["state"] == "failed"
    assert error_type in (row["error_type"], None)
    await eventually(lambda: _slots_are_back(performer))


async def test_attempt_that_cannot_be_cancelled_is_over_after_its_timeout(desk: Desk, performer: Performer) -> None:
    row = await desk.ended(await desk.enqueue(swallows))
    assert (row["state"], row["error_type"]) == ("failed", "TimedOut")
    await eventually(lambda: _slots_are_back(performer))


async def test_attempt_that_cannot_begin_ends(
    desk: Desk, performer: Performer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_names: Any) -> Any:
        raise OSError("nothing left")

    monkeypatch.setattr(performer._contexts, "context_of", refuse)
    row = await desk.ended(await desk.enqueue(idle))
    assert (row["state"], row["error_type"]) == ("failed", "OSError")
    await eventually(lambda: _slots_are_back(performer))


async def test_end_is_recorded_even_if_the_log_fails(
    desk: Desk, performer: Performer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: Any, **_names: Any) -> Any:
        raise RuntimeError("the log is full")

    for module in ("in_process", "attempt_log", "finishing"):
        for level in ("warning", "error", "debug", "exception"):
            monkeypatch.setattr(f"service.worker.performing.{module}.log.{level}", refuse, raising=False)
    assert (await desk.ended(await desk.enqueue(fails)))["error_message"] == "out of ink"
    assert (await desk.ended(await desk.enqueue(swallows)))["error_type"] == "TimedOut"
    await eventually(lambda: _slots_are_back(performer))


async def test_attempt_that_overran_its_timeout_by_blocking_says_so(desk: Desk, performer: Performer) -> None:
    row = await desk.ended(await desk.enqueue(blocks, {"seconds": 4, "name": "await"}))
    assert row["error_type"] == "TimedOut"
    assert "because it blocked the event loop: run blocking work by `await ctx.thread(...)`" in row["error_message"]


async def test_innocent_neighbour_of_a_blocked_loop_is_not_blamed(desk: Desk, performer: Performer) -> None:
    neighbour = await desk.enqueue(idle)
    await desk.running(neighbour)
    await desk.enqueue(blocks, {"seconds": 4})
    assert "or one beside it, blocked the event loop" in (await desk.ended(neighbour))["error_message"]


async def test_attempt_that_returns_late_after_blocking_succeeds_with_a_warning(
    desk: Desk, performer: Performer
) -> None:
    with capture_logs() as told:
        row = await desk.ended(await desk.enqueue(blocks, {"seconds": 3}))
        await eventually(lambda: _slots_are_back(performer))
    assert row["state"] == "succeeded"
    (warning,) = [line for line in told if line["event"] == "attempt_overran"]
    assert (warning["job_id"], warning["timeout_s"]) == (row["id"], 1)


async def test_log_tells_why_an_attempt_failed_and_a_failed_job_is_one_error_with_its_traceback(
    desk: Desk, performer: Performer
) -> None:
    with capture_logs() as told:
        job_id = await desk.enqueue(fails)
        await desk.ended(job_id)
        await eventually(lambda: _slots_are_back(performer))
    first, last = [line for line in told if line.get("job_id") == job_id]
    for line in (first, last):
        assert (line["error"], line["error_message"]) == ("ValueError", "out of ink")
    assert (first["event"], first["log_level"], first["attempt"]) == ("attempt_ended", "warning", 1)
    assert (last["event"], last["log_level"], last["attempt"]) == ("job_failed", "error", 2)
    assert "in fails" in last["exception"]


@job("just_in_time", timeout=0.05, max_attempts=1)
async def just_in_time(_ctx: Context, _args: Args) -> str:
    """End in the very turn of the loop in which the timeout is noticed."""
    asyncio.get_running_loop().call_soon(time.sleep, 0.2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return "done"


async def test_attempt_that_has_ended_when_its_timeout_is_noticed_has_succeeded(settings: Settings) -> None:
    async with open_desk(settings, just_in_time) as desk, running_worker(settings, catalogue_of(just_in_time)):
        row = await desk.ended(await desk.enqueue(just_in_time))
    assert (row["state"], row["result"]) == ("succeeded", '"done"')
