"""The one way into the ledger, for jobs of the API, of kinds, of cron and of plain arq clients alike.

Each passes the hooks, is recorded and, once it is, dispatched.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from service.hooks import Hooks
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Enqueued, IdempotencyKey, NewFlow, NewJob
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following

T = TypeVar("T")
# Makes a request's idempotency key, with its answer, from the jobs as the hooks left them.
KeyFor = Callable[[Sequence[NewJob]], IdempotencyKey | None]


class Enqueuer:
    """Records jobs within the hooks, and dispatches them. `writer` names this process in the tallies."""

    def __init__(
        self, ledger: Ledger, dispatcher: Dispatcher, following: Following, hooks: Hooks, *, writer: str
    ) -> None:
        self.ledger = ledger
        self.dispatcher = dispatcher
        self._following = following
        self.writer = writer
        self._hooks = hooks

    async def enqueue(
        self, jobs: Sequence[NewJob], key_for: KeyFor | None = None, flow: NewFlow | None = None
    ) -> Enqueued:
        """Record jobs, all or none, and dispatch the new ones that may run."""
        enqueued = await self.record(jobs, key_for, flow)
        is_all_new = len(enqueued.created) == len(enqueued.jobs)
        new = enqueued.jobs if is_all_new else [job for job in enqueued.jobs if job.id in enqueued.created]
        await self.dispatcher.dispatch(new)
        self._following.carry_on(enqueued.followed)
        if enqueued.changed:
            await self.dispatcher.move(enqueued.changed)
        return enqueued

    def record(
        self, jobs: Sequence[NewJob], key_for: KeyFor | None = None, flow: NewFlow | None = None
    ) -> Awaitable[Enqueued]:
        """Record jobs, all or none, with the `flow` that they make."""
        if not self._hooks.enqueues:
            return self._write(key_for, flow, jobs)
        return self.within_hooks(jobs, partial(self._write, key_for, flow))

    def _write(self, key_for: KeyFor | None, flow: NewFlow | None, jobs: Sequence[NewJob]) -> Awaitable[Enqueued]:
        key = key_for(jobs) if key_for is not None else None
        return self.ledger.enqueue(Enqueue(tuple(jobs), self.writer, key, flow))

    async def within_hooks(self, jobs: Sequence[NewJob], write: Callable[[Sequence[NewJob]], Awaitable[T]]) -> T:
        """Write jobs as the hooks leave them. An error that a hook raises before it yields refuses all of them.

        Raises what `write` raises, even if a hook swallows it: a job that was not recorded must not look accepted.
        """
        if not self._hooks.enqueues:
            return await write(jobs)
        swallowed: Exception
        async with self._hooks.around_enqueue(jobs) as hooked:
            try:
                _check_ids(jobs, hooked)
                return await write(hooked)
            except Exception as error:
                swallowed = error
                raise
        raise swallowed


def _check_ids(jobs: Sequence[NewJob], hooked: Sequence[NewJob]) -> None:
    if [job.id for job in hooked] != [job.id for job in jobs]:
        raise ValueError("a hook around enqueues may change jobs, but not how many there are, nor their ids")
