"""What an attempt may do, and what becomes of its job."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from structlog.testing import capture_logs

from jobs import Context, Discard, Kind, Retry, RetryPolicy, Snooze, job
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished
from service.ledger.states import Outcome
from service.settings import Settings
from service.worker.performing.attempt import performer_of
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

AT_ONCE = RetryPolicy(base=0.001, cap=0.001)


class Args(BaseModel):
    name: str = "Ann"


class Greeting(BaseModel):
    text: str


@job("greet")
async def greet(ctx: Context, args: Args) -> Greeting:
    return Greeting(text=f"Hello {args.name}, attempt {ctx.attempt}")


@job("raise_always", max_attempts=3, retry=AT_ONCE)
async def raise_always(_ctx: Context, _args: Args) -> None:
    raise ValueError("no\0 luck")


@job("raise_twice", max_attempts=3, retry=AT_ONCE)
async def raise_twice(ctx: Context, _args: Args) -> int:
    if ctx.attempt < 3:
        raise ValueError("not yet")
    return ctx.attempt


@job("never_again", retry=RetryPolicy(never=(KeyError,)))
async def never_again(_ctx: Context, _args: Args) -> None:
    raise KeyError("k")


@job("ask_again", max_attempts=2)
async def ask_again(_ctx: Context, _args: Args) -> None:
    raise Retry("busy", after=0.01)


@job("snooze_thrice", max_attempts=1)
async def snooze_thrice(ctx: Context, _args: Args) -> int:
    if ctx.attempt <= 3:
        raise Snooze(after=0.01)
    return ctx.attempt


@job("snooze_for_ages", max_attempts=1)
async def snooze_for_ages(_ctx: Context, _args: Args) -> None:
    raise Snooze(after=1e12)


@job("retry_in_the_past", max_attempts=2)
async def retry_in_the_past(_ctx: Context, _args: Args) -> None:
    raise Retry("at once", after=-1e12)


@job("discard")
async def discard(_ctx: Context, _args: Args) -> None:
    raise Discard("the receiver is gone")


@job("sleep_on", timeout=0.05, max_attempts=1)
async def sleep_on(_ctx: Context, _args: Args) -> None:
    await asyncio.sleep(60)


@job("swallow", timeout=0.05, max_attempts=1)
async def swallow(_ctx: Context, _args: Args) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "as if nothing had happened"
    return "never"


@job("cancel_itself", max_attempts=1)
async def cancel_itself(_ctx: Context, _args: Args) -> None:
    raise asyncio.CancelledError


@job("exit_worker", max_attempts=1)
async def exit_worker(_ctx: Context, _args: Args) -> None:
    sys.exit(3)


@job("unserialisable", max_attempts=1)
async def unserialisable(_ctx: Context, _args: Args) -> Any:
    return object()


@job("not_as_declared", max_attempts=1)
async def not_as_declared(_ctx: Context, _args: Args) -> Greeting:
    return "text"  # type: ignore[return-value]  # what mypy cannot see in an untyped kind


@job("too_large", max_attempts=3, retry=AT_ONCE)
async def too_large(_ctx: Context, _args: Args) -> str:
    return "x" * 300_000


@job("unreadable", max_attempts=1)
async def unreadable(_ctx: Context, _args: Args) -> int:
    return int("9" * 4000) ** 2


@job("mistyped_queue", max_attempts=1)
async def mistyped_queue(ctx: Context, _args: Args) -> str:
    return await ctx.enqueue("greet", {"name": "child"}, queue="deafult")


@job("nul_result")
async def nul_result(_ctx: Context, _args: Args) -> str:
    return "a\0b"


@job("in_thread")
async def in_thread(ctx: Context, _args: Args) -> bool:
    return await ctx.thread(lambda: threading.current_thread() is not threading.main_thread())


@job("count_up")
async def count_up(ctx: Context, _args: Args) -> None:
    for done in range(11):
        ctx.progress(done, 10)
    await ctx.progress(10, 10)


@job("parent")
async def parent(ctx: Context, _args: Args) -> str:
    return await ctx.enqueue("greet", {"name": "child"}, delay=0, tags=["family"])


@job("log_something")
async def log_something(ctx: Context, args: Args) -> None:
    ctx.log.info("said", word="hello")


KINDS = [value for value in list(globals().values()) if isinstance(value, Kind)]


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """A desk, and a worker that knows the kinds of this file."""
    async with open_desk(settings, *KINDS) as opened, running_worker(settings, catalogue_of(*KINDS)):
        yield opened


async def test_success_keeps_the_result(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(greet, {"name": "Bo"}))
    assert (row["state"], json.loads(row["result"])) == ("succeeded", {"text": "Hello Bo, attempt 1"})


async def test_failures_are_retried_up_to_max_attempts_and_each_is_kept(desk: Desk) -> None:
    job_id = await desk.enqueue(raise_always)
    row = await desk.ended(job_id)
    assert (row["state"], row["failures"], row["error_type"]) == ("failed", 3, "ValueError")
    attempts = await desk.attempts(job_id)
    assert [attempt["number"] for attempt in attempts] == [1, 2, 3]
    assert all(attempt["error_message"] == "no\N{REPLACEMENT CHARACTER} luck" for attempt in attempts)
    assert all("raise ValueError" in attempt["traceback"] for attempt in attempts)


async def test_job_that_succeeds_in_the_end_succeeded(desk: Desk) -> None:
    job_id = await desk.enqueue(raise_twice)
    row = await desk.ended(job_id)
    assert (row["state"], row["result"], row["failures"]) == ("succeeded", "3", 2)
    assert await desk.outcomes(job_id) == ["failed", "failed", "succeeded"]


async def test_error_that_the_policy_never_retries_ends_the_job(desk: Desk) -> None:
    job_id = await desk.enqueue(never_again)
    assert (await desk.ended(job_id))["state"] == "failed"
    assert await desk.outcomes(job_id) == ["failed"]


async def test_retry_counts_as_a_failure_and_waits_as_long_as_it_says(desk: Desk) -> None:
    job_id = await desk.enqueue(ask_again)
    row = await desk.ended(job_id)
    assert (row["state"], row["failures"], row["error_message"]) == ("failed", 2, "busy")
    first, second = await desk.attempts(job_id)
    assert second["started_at"] - first["finished_at"] >= timedelta(milliseconds=9)


async def test_snooze_costs_nothing(desk: Desk) -> None:
    job_id = await desk.enqueue(snooze_thrice)
    row = await desk.ended(job_id)
    assert (row["state"], row["failures"], row["attempt"]) == ("succeeded", 0, 4)
    assert await desk.outcomes(job_id) == ["snoozed"] * 3 + ["succeeded"]


@pytest.mark.parametrize("kind", [snooze_for_ages, retry_in_the_past])
async def test_wait_that_no_calendar_has_is_bounded(desk: Desk, kind: Kind[Any, Any]) -> None:
    job_id = await desk.enqueue(kind)

    async def waits_or_ended() -> bool:
        return (await desk.row(job_id))["state"] in ("retrying", "failed")

    await eventually(waits_or_ended)
    assert "interrupted" not in await desk.outcomes(job_id)


async def test_job_that_was_started_in_time_does_not_expire_while_it_waits_for_another_attempt(desk: Desk) -> None:
    job_id = await desk.enqueue(ask_again, expires_in=timedelta(seconds=5))
    await desk.ended(job_id)
    assert (await desk.row(job_id))["error_type"] == "Retry"
    assert (await desk.row(job_id))["expires_at"] is None


async def test_discard_fails_the_job_at_once_with_the_reason(desk: Desk) -> None:
    job_id = await desk.enqueue(discard)
    row = await desk.ended(job_id)
    assert (row["state"], row["error_message"]) == ("failed", "the receiver is gone")
    assert await desk.outcomes(job_id) == ["discarded"]


@pytest.mark.parametrize("kind", [sleep_on, swallow])
async def test_attempt_past_its_timeout_is_timed_out_whatever_it_does(desk: Desk, kind: Kind[Any, Any]) -> None:
    job_id = await desk.enqueue(kind)
    row = await desk.ended(job_id)
    assert (row["state"], row["result"], row["error_type"]) == ("failed", None, "TimedOut")
    assert await desk.outcomes(job_id) == ["timed_out"]


async def test_jobs_own_timeout_counts_more_than_its_kinds(desk: Desk) -> None:
    job_id = await desk.enqueue(greet, timeout=timedelta(seconds=30))
    assert (await desk.row(job_id))["timeout_s"] == 30
    slow = await desk.enqueue(sleep_on, timeout=timedelta(seconds=0.2))
    await desk.ended(slow)
    (attempt,) = await desk.attempts(slow)
    assert attempt["finished_at"] - attempt["started_at"] >= timedelta(seconds=0.2)


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        (cancel_itself, "CancelledError"),
        (exit_worker, "KindExited"),
        (unserialisable, "PydanticSerializationError"),
        (not_as_declared, "PydanticSerializationError"),
        (too_large, "ResultTooLarge"),
        (unreadable, "ValueError"),
        (mistyped_queue, "QueueUnknown"),
    ],
)
async def test_odd_ends_are_clear_failures_and_the_worker_goes_on(
    desk: Desk, kind: Kind[Any, Any], error_type: str
) -> None:
    row = await desk.ended(await desk.enqueue(kind))
    assert (row["state"], row["error_type"]) == ("failed", error_type)
    assert (await desk.ended(await desk.enqueue(greet)))["state"] == "succeeded"


async def test_job_whose_result_is_too_large_is_not_tried_again(desk: Desk) -> None:
    job_id = await desk.enqueue(too_large)
    row = await desk.ended(job_id)
    assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "ResultTooLarge", 1)
    assert "may have at most 262144. Keep it elsewhere, such as in a file, and return its id." in row["error_message"]
    assert await desk.outcomes(job_id) == ["discarded"]


async def test_nul_in_a_result_is_replaced(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(nul_result))
    assert json.loads(row["result"]) == "a\N{REPLACEMENT CHARACTER}b"


async def test_thread_runs_off_the_loop(desk: Desk) -> None:
    assert (await desk.ended(await desk.enqueue(in_thread)))["result"] == "true"


async def test_progress_is_noted(desk: Desk) -> None:
    row = await desk.ended(await desk.enqueue(count_up))
    assert (row["progress_done"], row["progress_total"]) == (10, 10)


async def test_job_enqueues_another(desk: Desk) -> None:
    child_id = json.loads((await desk.ended(await desk.enqueue(parent)))["result"])
    child = await desk.ended(child_id)
    assert (child["kind"], child["state"], child["tags"]) == ("greet", "succeeded", '["family"]')


async def test_log_lines_of_a_kind_carry_job_kind_and_attempt(desk: Desk) -> None:
    with capture_logs() as lines:
        job_id = await desk.enqueue(log_something)
        await desk.ended(job_id)
    (said,) = [line for line in lines if line["event"] == "said"]
    assert {key: said[key] for key in ("job_id", "kind", "attempt")} == {
        "job_id": job_id,
        "kind": "log_something",
        "attempt": 1,
    }


@pytest.mark.usefixtures("swept_at_once")
async def test_stored_args_that_no_longer_fit_end_the_job_clearly(desk: Desk) -> None:
    job_id = await desk.record_only(greet, sealed_args='{"name": 17}')

    async def swept() -> bool:
        return bool((await desk.row(job_id))["state"] == "failed")

    await eventually(swept)
    assert "no longer fit" in (await desk.row(job_id))["error_message"]


async def test_outcome_that_the_ledger_refuses_fails_the_attempt_and_does_not_stay_running(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Ledger.finish_all
    refused: set[str] = set()

    async def refuse_some(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        if any(finish.id in refused and finish.outcome is Outcome.SUCCEEDED for finish in finishes):
            raise ValueError("the data does not fit")
        return await record(ledger, finishes)

    monkeypatch.setattr(Ledger, "finish_all", refuse_some)
    async with open_desk(settings, *KINDS) as desk:
        neighbours = [await desk.enqueue(greet) for _ in range(5)]
        refused.add(await desk.enqueue(greet, max_attempts=1))
        async with running_worker(settings, catalogue_of(*KINDS)):
            row = await desk.ended(*refused)
            assert (row["state"], row["error_type"]) == ("failed", "OutcomeNotRecordable")
            assert [(await desk.ended(job_id))["state"] for job_id in neighbours] == ["succeeded"] * 5


async def test_outcome_that_fails_for_nothing_in_its_data_is_kept_until_it_is_recorded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, failing = Ledger.finish_all, set[str]()
    fails = iter(range(8))

    async def fail_some(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        if any(finish.id in failing for finish in finishes) and next(fails, None) is not None:
            raise RuntimeError("could not be done")
        return await record(ledger, finishes)

    monkeypatch.setattr(Ledger, "finish_all", fail_some)
    monkeypatch.setattr("service.worker.performing.finishing._TRY_AGAIN_AFTER_S", 0.05)
    async with open_desk(settings, *KINDS) as desk:
        neighbours = [await desk.enqueue(greet) for _ in range(5)]
        failing.add(await desk.enqueue(greet, max_attempts=1))
        async with running_worker(settings, catalogue_of(*KINDS)):
            for job_id in (*failing, *neighbours):
                assert (await desk.ended(job_id))["state"] == "succeeded"
    assert next(fails, None) is None


async def test_worker_that_cannot_write_an_outcome_claims_nothing_and_writes_it_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Ledger.finish_all
    away, refused = asyncio.Event(), asyncio.Event()
    away.set()

    async def away_at_first(ledger: Ledger, finishes: Sequence[Finish]) -> Sequence[Finished | None]:
        if away.is_set():
            refused.set()
            raise LedgerUnavailable("no space is left")
        return await record(ledger, finishes)

    monkeypatch.setattr(Ledger, "finish_all", away_at_first)
    async with open_desk(settings, *KINDS) as desk, running_worker(settings, catalogue_of(*KINDS)) as worker:
        first = await desk.enqueue(greet)
        await refused.wait()
        second = await desk.enqueue(greet)
        assert not performer_of(worker.ctx).may_claim
        await asyncio.sleep(0.3)  # some thirty polls of this worker
        assert (await desk.row(second))["state"] == "queued"
        assert (await desk.row(first))["state"] == "running"
        away.clear()
        assert [(await desk.ended(job_id))["state"] for job_id in (first, second)] == ["succeeded"] * 2
        assert await desk.outcomes(first) == ["succeeded"]
