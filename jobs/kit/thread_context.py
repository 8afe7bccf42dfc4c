"""Kinds that are a `def`: each attempt runs in a thread, with a context whose calls are done on the loop."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import fields
from typing import Any, ParamSpec, TypeVar, overload

from jobs.kit.context import Context, read_only
from jobs.kit.thread_files import ThreadFiles

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")

# Runs a coroutine for a thread, which waits for what it returns.
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class AttemptOver(BaseException):
    """The attempt has ended, by its timeout or a stop, but its thread still runs: what it does no longer counts.

    It is not an `Exception`, so that a kind's own `except Exception` does not keep the thread going.
    """


async def in_thread(function: Callable[[Any, A], R], ctx: Context, args: A) -> R:
    """Call a function with a context for threads, and the args, in a thread."""
    bridge = _Bridge()
    try:
        return await asyncio.to_thread(function, ThreadContext.over(ctx, bridge.run), args)
    except AttemptOver:
        raise asyncio.CancelledError from None
    finally:
        bridge.close()


# The overrides do at once what `Context` returns an awaitable for. Still a subclass: an author's code may well
# be annotated with `Context`, and gets one.
@read_only(kw_only=True)
class ThreadContext(Context):
    """The `Context` of a kind that is a `def`: `progress`, `enqueue`, `step` and `checkpoint` return when it is done.

    `run` does the same for any other awaitable: `ctx.run(ctx.http.get(url))`. Once the attempt is over,
    all of these raise `AttemptOver`, which ends the thread.
    """

    run_on_loop: Run
    run_call: Run

    @classmethod
    def over(cls, ctx: Context, run_on_loop: Run, run_call: Run | None = None) -> "ThreadContext":
        """Make a context; `run_call` runs what awaits the service alone, and needs no loop if there is another way."""
        run_call = run_call or run_on_loop
        carried = {field.name: getattr(ctx, field.name) for field in fields(Context)}
        carried["progress"] = _blocking(ctx.progress, run_call)
        carried["enqueue"] = _blocking(ctx.enqueue, run_call)
        return cls(**carried, run_on_loop=run_on_loop, run_call=run_call)

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the worker's loop, and return what it returns."""
        result: R = self.run_on_loop(coroutine)
        return result

    @overload  # type: ignore[override]
    def step(self, name: str, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    @overload
    def step(self, name: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run `fn` and keep what it returns, or return what it returned in an earlier attempt of this job.

        A `def` runs in this thread, an `async def` on the loop; otherwise as `Context.step`.
        """
        return self.steps().step_in_thread(name, fn, args, kwargs, self.run_on_loop)

    def checkpoint(self, value: Any) -> None:  # type: ignore[override]
        """Keep a JSON value, in place of the last one, as `Context.checkpoint` does."""
        self.run_call(self.steps().checkpoint(value))

    @property
    def files(self) -> ThreadFiles:  # type: ignore[override]
        """The files of the service, with calls that return when they are done. Raises `FeatureMissing`."""
        return ThreadFiles(Context.files.__get__(self), self.run_on_loop, self.run_call)

    def thread(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Call `fn` here: this is already a thread."""
        return fn(*args, **kwargs)


def _blocking(call: Callable[..., Awaitable[Any]], run_call: Run) -> Callable[..., Any]:
    async def called(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    return lambda *args, **kwargs: run_call(called(*args, **kwargs))


class _Bridge:
    """Runs coroutines on the loop that made it, for a thread that waits for them, until the attempt is over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        self._running: set[asyncio.Task[Any]] = set()
        self._is_over = False

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine and return what it returns. Raises what it raises, and `AttemptOver`."""
        if threading.get_ident() == self._loops_thread:
            coroutine.close()
            raise RuntimeError(
                "a thread's context was used on the worker's loop, which would wait for itself: use it in the thread of"
                " the kind, or write the kind with `async def`"
            )
        try:
            return asyncio.run_coroutine_threadsafe(self._run(coroutine), self._loop).result()
        except concurrent.futures.CancelledError:
            raise AttemptOver("the attempt of this thread is over") from None

    async def _run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        if self._is_over:
            coroutine.close()
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            return await coroutine
        finally:
            self._running.discard(task)

    def close(self) -> None:
        """Cancel what is still running, and refuse everything from now on."""
        self._is_over = True
        for task in self._running:
            task.cancel()
