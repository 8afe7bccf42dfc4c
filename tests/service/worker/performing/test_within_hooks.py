"""Hooks around each attempt: what they see, what passes through them, and what becomes of a hook that fails."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar

import pytest
from pydantic import BaseModel

import jobs
from jobs import Context, Snooze, job
from service.feature import Feature
from service.hooks import AttemptHook, Hooks
from service.ledger.models import Started
from service.settings import Settings
from service.worker import startup
from tests.service.worker.desk import Desk, open_desk
from tests.support import hooked_kinds
from tests.support.running import catalogue_of, running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

trace: ContextVar[str] = ContextVar("trace", default="none")
seen: list[str] = []


class Args(BaseModel):
    how: str = ""


class OutOfInk(Exception):
    pass


@job("traced", max_attempts=1, timeout=0.5)
async def traced(ctx: Context, args: Args) -> str:
    seen.append(f"kind in {trace.get()}")
    match args.how:
        case "raise":
            raise OutOfInk("no ink")
        case "hang":
            await asyncio.sleep(60)
        case "snooze" if ctx.attempt == 1:
            raise Snooze(after=0.01)
    return trace.get()


@asynccontextmanager
async def outer(started: Started, context: Context) -> AsyncIterator[None]:
    token = trace.set(f"outer of {context.kind} {started.attempt}")
    seen.append("outer enters")
    try:
        yield
    except BaseException as error:
        seen.append(f"outer sees {type(error).__name__}")
        raise
    finally:
        trace.reset(token)
        seen.append("outer leaves")


@asynccontextmanager
async def inner(_started: Started, _context: Context) -> AsyncIterator[None]:
    seen.append(f"inner enters in {trace.get()}")
    yield


@asynccontextmanager
async def fails_before(started: Started, _context: Context) -> AsyncIterator[None]:
    if started.attempt:
        raise LookupError("no exporter")
    yield


@asynccontextmanager
async def fails_after(_started: Started, _context: Context) -> AsyncIterator[None]:
    try:
        yield
    finally:
        raise LookupError("no exporter")


@asynccontextmanager
async def exits(started: Started, _context: Context) -> AsyncIterator[None]:
    if started.attempt:
        raise SystemExit(3)
    yield


def not_a_hook(_started: Started) -> AbstractAsyncContextManager[None]:
    raise AssertionError


@asynccontextmanager
async def swallows(_started: Started, _context: Context) -> AsyncIterator[None]:
    try:
        yield
    except BaseException:  # noqa: BLE001 - what a hook must not do
        seen.append("swallowed")


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    seen.clear()
    async with open_desk(settings, traced) as opened:
        yield opened


@asynccontextmanager
async def _worker(settings: Settings, *hooks: AttemptHook) -> AsyncIterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(startup, "FEATURES", (Feature("hooked", hooks=Hooks(attempts=hooks)),))
        async with running_worker(settings, catalogue_of(traced)):
            yield


async def test_hooks_stand_around_the_kind_in_their_order_and_share_its_context(desk: Desk, settings: Settings) -> None:
    async with _worker(settings, outer, inner):
        row = await desk.ended(await desk.enqueue(traced))
    assert row["result"] == '"outer of traced 1"'
    assert seen == [
        "outer enters",
        "inner enters in outer of traced 1",
        "kind in outer of traced 1",
        "outer leaves",
    ]


@pytest.mark.parametrize(
    ("how", "error_type", "sees"), [("raise", "OutOfInk", "OutOfInk"), ("hang", "TimedOut", "CancelledError")]
)
async def test_error_of_the_kind_passes_through_the_hooks(
    desk: Desk, settings: Settings, how: str, error_type: str, sees: str
) -> None:
    async with _worker(settings, outer):
        row = await desk.ended(await desk.enqueue(traced, {"how": how}))
    assert (row["state"], row["error_type"]) == ("failed", error_type)
    assert seen[-2:] == [f"outer sees {sees}", "outer leaves"]


async def test_each_attempt_has_its_own_hooks(desk: Desk, settings: Settings) -> None:
    async with _worker(settings, outer):
        job_id = await desk.enqueue(traced, {"how": "snooze"})
        row = await desk.ended(job_id)
    assert row["result"] == '"outer of traced 2"'
    assert await desk.outcomes(job_id) == ["snoozed", "succeeded"]


@pytest.mark.parametrize(
    ("hook", "error"), [(fails_before, "LookupError"), (fails_after, "LookupError"), (exits, "SystemExit")]
)
async def test_hook_that_fails_fails_the_attempt_with_a_clear_error_and_the_slot_comes_back(
    desk: Desk, settings: Settings, hook: AttemptHook, error: str
) -> None:
    async with _worker(settings.model_copy(update={"max_jobs": 1}), outer, hook):
        for _ in range(2):
            row = await desk.ended(await desk.enqueue(traced))
            assert (row["state"], row["error_type"]) == ("failed", "HookFailed")
            assert row["error_message"].startswith(f"a hook around the attempt raised {error}")


async def test_what_is_no_hook_fails_the_attempt_too(desk: Desk, settings: Settings) -> None:
    async with _worker(settings, not_a_hook):  # type: ignore[arg-type]  # as an author without mypy might
        row = await desk.ended(await desk.enqueue(traced))
    assert (row["state"], row["error_type"]) == ("failed", "HookFailed")


async def test_error_that_a_hook_swallows_counts_all_the_same(desk: Desk, settings: Settings) -> None:
    async with _worker(settings, swallows):
        row = await desk.ended(await desk.enqueue(traced, {"how": "raise"}))
    assert (row["state"], row["error_type"]) == ("failed", "OutOfInk")
    assert "swallowed" in seen


@pytest.mark.usefixtures("forked_suspects")
async def test_hooks_stand_around_an_isolated_attempt_in_its_child(settings: Settings) -> None:
    module = hooked_kinds.__name__
    settings = settings.model_copy(update={"jobs": (module,)})
    async with open_desk(settings, hooked_kinds.traced) as desk:
        suspect = await desk.record_suspect(hooked_kinds.traced)
        async with running_worker(settings, jobs.load((module,))):
            row = await desk.ended(suspect)
    assert row["state"] == "succeeded"
    assert row["result"] not in ("null", str(os.getpid()))
