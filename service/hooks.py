"""Hooks around each request, each enqueue and each attempt: for tracing, log capture, metrics.

A feature brings its hooks in `Feature.hooks`. Hooks of one sort are entered in the order of the features, and left in
reverse. Without any, they cost nothing.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from jobs import Context
from service.ledger.models import NewJob, Started

# Wraps the whole API: every request passes through it, those for the direct endpoints too.
RequestHook = Callable[[ASGIApp], ASGIApp]
# Around the recording of jobs. It yields the jobs to record, unchanged or changed. An error before it yields refuses
# all of them; an error on leaving comes after their commit. It must let a cancellation pass, because deadlines cancel.
EnqueueHook = Callable[[Sequence[NewJob]], AbstractAsyncContextManager[Sequence[NewJob]]]
# Around the kind's function, in the process that runs it. The kind's errors pass through it. An error of its own ends
# the attempt as `HookFailed`, even on leaving, after the kind has returned.
AttemptHook = Callable[[Started, Context], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Hooks:
    """Hooks, by what they wrap."""

    requests: tuple[RequestHook, ...] = ()
    enqueues: tuple[EnqueueHook, ...] = ()
    attempts: tuple[AttemptHook, ...] = ()

    @classmethod
    def joined(cls, all_hooks: Iterable["Hooks"]) -> "Hooks":
        """Return all of `all_hooks` as one."""
        every = tuple(all_hooks)
        return cls(
            requests=tuple(hook for hooks in every for hook in hooks.requests),
            enqueues=tuple(hook for hooks in every for hook in hooks.enqueues),
            attempts=tuple(hook for hooks in every for hook in hooks.attempts),
        )

    def around_requests(self, app: ASGIApp) -> ASGIApp:
        """Wrap `app`; the first hook is outermost."""
        for hook in reversed(self.requests):
            app = hook(app)
        return app

    @asynccontextmanager
    async def around_enqueue(self, jobs: Sequence[NewJob]) -> AsyncIterator[Sequence[NewJob]]:
        """Wrap the recording of jobs; yields the jobs to record."""
        async with AsyncExitStack() as stack:
            for hook in self.enqueues:
                jobs = await stack.enter_async_context(hook(jobs))
            yield jobs

    @asynccontextmanager
    async def around_attempt(self, started: Started, context: Context) -> AsyncIterator[None]:
        """Wrap the call of a kind's function."""
        async with AsyncExitStack() as stack:
            for hook in self.attempts:
                await stack.enter_async_context(hook(started, context))
            yield
