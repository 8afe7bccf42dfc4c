"""Attempts, from their recorded start to their recorded finish."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from service import agreed_time
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import Outcome, isolated_from
from service.lifecycle.lifecycle import Lifecycle
from service.resources import JobResources, Resources
from service.worker.keeping.loop_watch import Running
from service.worker.performing import verdict
from service.worker.performing.attempt import Attempt
from service.worker.performing.attempt_log import is_quiet, tell_end
from service.worker.performing.contexts import Contexts
from service.worker.performing.failure import line_of
from service.worker.performing.finishing import Ended, Finishing, OnFinished
from service.worker.performing.isolated import ApartAttempt
from service.worker.performing.settling import Settling
from service.worker.performing.slots import Slots
from service.worker.performing.threads import JobThreads

log = structlog.get_logger(__name__)

CTX_KEY = "postlude"


class Performer:
    """Performs attempts for one worker.

    `attempts` holds the running attempts by job id; `held_ids` the ids of all jobs that this worker is starting, is
    performing, keeps waiting for a slot, or has ended without a recorded outcome yet. `changed` is
    set whenever one of them ends.
    """

    def __init__(self, resources: Resources, job_resources: JobResources) -> None:
        self.resources = resources
        self.lifecycle = Lifecycle(
            resources.ledger,
            resources.queue,
            resources.catalogue,
            writer=resources.process_id,
            hooks=resources.hooks,
        )
        self.worker_id = resources.process_id
        self.held_ids: set[str] = set()
        self.attempts: dict[str, Attempt | ApartAttempt] = {}
        self.changed = asyncio.Event()
        self.lease_lost = False
        self.crashed = False
        self.threads = JobThreads(resources.settings.max_jobs)
        self._finishing = Finishing(resources.ledger, resources.catalogue, self._settle)
        self._on_finished: dict[str, OnFinished] = {}
        self._settling = Settling(self.lifecycle, self.changed.set)
        self._contexts = Contexts(resources, job_resources, self.lifecycle)
        self._max_crashes = resources.settings.max_crashes
        self._isolated_from = isolated_from(resources.settings.max_crashes)
        self.slots = Slots(self._run, self._hand_back)

    @property
    def may_claim(self) -> bool:
        """Not while the lease is lost, nor while outcomes cannot be written: more work would only pile up."""
        return not self.lease_lost and not self._finishing.unwritable

    @property
    def runs_suspect(self) -> bool:
        """Whether a suspect runs, or waits for a slot: they run one at a time, each in a process of its own."""
        return any(one.crashes >= self._isolated_from for one in self._started)

    @property
    def _started(self) -> list[Started]:
        return [*(attempt.started for attempt in self.attempts.values()), *self.slots.waiting]

    def running(self) -> list[Running]:
        """What runs now; safe to ask from another thread."""
        return [
            Running(attempt.started.id, attempt.started.kind, attempt.timeout_s)
            for attempt in list(self.attempts.values())
        ]

    def note_blocked(self, task: asyncio.Task[Any] | None, for_s: float) -> None:
        """Hear, from the loop's watch in its thread, whose task does not let the loop turn."""
        for attempt in list(self.attempts.values()):
            if isinstance(attempt, Attempt) and attempt.is_in(task):
                attempt.blocked_s += for_s

    async def perform(self, started: Started) -> Finished | None:
        """Run one attempt to its end and record it; None when it was taken away meanwhile."""
        recorded: asyncio.Future[Finished | None] = asyncio.get_running_loop().create_future()
        self.begin(started, recorded.set_result)
        return await asyncio.shield(recorded)

    def begin(self, started: Started, on_finished: OnFinished) -> None:
        """Begin an attempt once it has a slot; `on_finished` hears of what the ledger made of its end."""
        self._on_finished[started.id] = on_finished
        self.slots.take(started)

    def _run(self, started: Started) -> None:
        """Run an attempt. One that cannot even begin ends like any other: its slot must come back."""
        try:
            self._begin(started)
        except Exception as error:  # noqa: BLE001 - whatever it is, no job may stay `running` for ever
            policy = self.resources.catalogue[started.kind].retry
            finish = verdict.finish_of(started, verdict.of_error(error), policy, agreed_time.now())
            asyncio.get_running_loop().call_soon(self._ended, started, finish)

    def _begin(self, started: Started) -> None:
        kind = self.resources.catalogue[started.kind]
        if started.crashes >= self._isolated_from:
            apart = self.attempts[started.id] = ApartAttempt(started, kind, self.resources.settings, self._ended)
            apart.begin()
        else:
            attempt = self.attempts[started.id] = Attempt(started, kind, self._ended)
            attempt.begin(self._contexts.context_of(started))

    def _hand_back(self, started: Started) -> None:
        """End an attempt that has not run: its job goes back without cost."""
        policy = self.resources.catalogue[started.kind].retry
        self._finish(started, verdict.finish_of(started, verdict.of_no_slot(), policy, agreed_time.now()))

    @property
    def busy(self) -> bool:
        """Whether something runs, or its outcome is not recorded yet, or Redis not told of it."""
        return bool(self.held_ids) or self._settling.busy

    def crash(self, error: BaseException) -> None:
        """End what runs in this process as crashed: the process ends, and nobody has asked it to.

        What waits for a slot goes back without cost, and so do isolated attempts, whose processes are not the one that
        crashed. One that does not end in time is lost: the ledger tells that by itself.
        """
        self.crashed = True
        self.slots.hand_back()
        for attempt in list(self.attempts.values()):
            if isinstance(attempt, Attempt):
                what = f"Worker {self.worker_id} ended by {line_of(error)} while it ran this job."
                attempt.crash(verdict.of_crash(what, attempt.started.crashes + 1, self._max_crashes))
            else:
                attempt.stop(Outcome.INTERRUPTED)

    async def idle(self) -> None:
        """Wait until nothing runs, every outcome is recorded, and Redis has been told."""
        while self.busy:
            self.changed.clear()
            await self.changed.wait()

    def _ended(self, started: Started, finish: Finish) -> None:
        self.attempts.pop(started.id, None)
        self.threads.leave(started.id, started.attempt)
        self._finish(started, finish)
        self.slots.end()
        self.changed.set()

    def _finish(self, started: Started, finish: Finish) -> None:
        self._finishing.add(Ended(started, finish, self._on_finished.pop(started.id)))

    async def _settle(self, recorded: Sequence[tuple[Ended, Finished | None]]) -> None:
        """Say how attempts ended, and have Redis told. Nothing here waits for Redis: the next outcomes would, too."""
        # Out of hand before they are back on the queue, where this very worker may claim them at once.
        self.held_ids.difference_update(ended.started.id for ended, _ in recorded)
        tells_all = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
        for ended, finished in recorded:
            if tells_all or not is_quiet(ended.finish, finished):
                tell_end(ended.finish, finished)
            self._settling.add(ended, finished)
        self._settling.begin()
        self.changed.set()


def performer_of(ctx: Mapping[Any, Any]) -> Performer:
    """Find the performer in arq's ctx: the one key there that is ours."""
    performer: Performer = ctx[CTX_KEY]
    return performer
