import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobs import Context, Kind, ThreadContext, job
from jobs.kit.step_errors import StepRefused
from jobs.kit.steps import Given, Steps
from jobs.kit.thread_context import AttemptOver
from tests.support.fakes import fake_context, fake_thread_context


async def performed(function: Callable[..., Any], **overrides: Any) -> Any:
    kind: Kind[Any, Any] = job("threaded")(function)
    return await kind.call(fake_context(**overrides), kind.accept(None))


async def test_a_def_runs_in_a_thread_with_the_contextvars_of_its_attempt() -> None:
    named = contextvars.ContextVar("named", default="nothing")
    named.set("this attempt")

    def look() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), named.get()]

    assert await performed(look) == [False, "this attempt"]


async def test_what_a_context_awaits_is_done_on_the_loop_and_waited_for() -> None:
    loop = asyncio.get_running_loop()
    done = []

    async def progress(at: int, total: int | None = None) -> None:
        await asyncio.sleep(0)
        done.append((at, total, asyncio.get_running_loop() is loop))

    async def enqueue(kind: str, args: Any = None, **options: Any) -> str:
        await asyncio.sleep(0)
        return f"{kind} {args} {options}"

    async def fetch(url: str) -> str:
        await asyncio.sleep(0)
        return url.upper()

    def work(ctx: ThreadContext) -> list[Any]:
        ctx.progress(1, total=2)
        assert done == [(1, 2, True)]
        return [ctx.enqueue("mail", {"a": 1}, delay=5), ctx.run(fetch("a")), ctx.thread(len, "abc"), ctx.attempt]

    assert await performed(work, progress=progress, enqueue=enqueue) == ["mail {'a': 1} {'delay': 5}", "A", 3, 1]


async def test_a_context_for_threads_is_a_context() -> None:
    def work(ctx: Context) -> bool:
        return isinstance(ctx, ThreadContext)

    assert await performed(work)


class Kept(Steps):
    """Steps whose results stay here."""

    __slots__ = ("kept", "value")

    def __init__(self, given: Given) -> None:
        super().__init__(given)
        self.kept: list[Any] = []

    async def keep(self, step: Any) -> None:
        await asyncio.sleep(0)
        self.kept.append((step.name, step.result))

    async def keep_checkpoint(self, value: str) -> None:
        await asyncio.sleep(0)
        self.kept.append(value)


async def test_steps_of_a_def_run_in_its_own_thread_and_are_kept() -> None:
    steps = Kept(Given({"before": "false"}, checkpoint='{"at": 3}'))
    work_thread: list[int] = []

    def here(n: int) -> bool:
        return threading.get_ident() == work_thread[0] and n == 1

    async def on_loop(n: int) -> int:
        return n + 1

    def fails() -> None:
        raise ValueError("not yet")

    def work(ctx: ThreadContext) -> list[Any]:
        work_thread.append(threading.get_ident())
        with pytest.raises(ValueError, match="not yet"):
            ctx.step("again", fails)
        with pytest.raises(StepRefused):
            ctx.step("unwritable", threading.Lock)
        ctx.checkpoint({"at": 4})
        return [
            ctx.step("before", here, 1), ctx.step("here", here, 1), ctx.step("again", on_loop, 1),
            ctx.step("lambda", lambda: on_loop(2)), ctx.restored,
        ]  # fmt: skip

    assert await performed(work, steps=lambda: steps) == [False, True, 2, 3, {"at": 3}]
    assert steps.kept == ['{"at":4}', ("here", "true"), ("again", "2"), ("lambda", "3")]


async def cancelled(function: Callable[..., Any], begun: threading.Event) -> None:
    """Perform a kind, and cancel its attempt once it has begun."""
    attempt = asyncio.create_task(performed(function))
    assert await asyncio.to_thread(begun.wait, 10)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt


async def test_a_thread_whose_attempt_is_over_gets_no_further_than_its_context() -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work(ctx: ThreadContext) -> None:
        try:
            begun.set()
            goes_on.wait(10)
            ctx.progress(1)
        except AttemptOver:
            ended.set()
            raise

    await cancelled(work, begun)
    goes_on.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_what_a_thread_waits_for_is_cancelled_with_its_attempt() -> None:
    begun, ended = threading.Event(), threading.Event()
    seen = []

    async def sleeps() -> None:
        begun.set()
        try:
            await asyncio.sleep(1_000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    def work(ctx: ThreadContext) -> None:
        try:
            ctx.run(sleeps())
        except Exception:  # noqa: BLE001 - what is tested: it must not get here
            seen.append("swallowed")
        except AttemptOver:
            ended.set()
            raise

    await cancelled(work, begun)
    assert await asyncio.to_thread(ended.wait, 10)
    assert seen == ["cancelled"]


async def test_an_attempt_that_was_taken_away_ends_as_cancelled() -> None:
    async def taken_away() -> None:
        raise asyncio.CancelledError

    def work(ctx: ThreadContext) -> None:
        ctx.run(taken_away())

    with pytest.raises(asyncio.CancelledError):
        await performed(work)


async def test_a_context_for_threads_on_the_loop_is_refused_instead_of_waiting_for_ever() -> None:
    contexts: list[ThreadContext] = []

    async def deep() -> None:
        contexts[0].progress(1)

    def work(ctx: ThreadContext) -> None:
        contexts.append(ctx)
        ctx.run(deep())

    with pytest.raises(RuntimeError, match="was used on the worker's loop"):
        await performed(work)


async def test_what_a_def_raises_is_raised() -> None:
    def fails() -> None:
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        await performed(fails)


def test_a_unit_test_calls_a_def_with_a_context_for_threads() -> None:
    @job("counts")
    def counts(ctx: ThreadContext, upto: int) -> int:
        ctx.progress(upto)
        return ctx.step("sum", sum, range(upto))

    assert counts(fake_thread_context(), upto=3) == 3
