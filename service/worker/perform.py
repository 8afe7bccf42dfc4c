"""Attempts, from their recorded start to their recorded finish."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from service import agreed_time
from service.ledger.dispatching import HORIZON
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import TERMINAL, Outcome
from service.lifecycle import Lifecycle
from service.queue import UNREACHABLE, Entry
from service.resources import JobResources, Resources
from service.worker import adopted, verdict
from service.worker.apart import ApartAttempt, suspected_from
from service.worker.attempt import Attempt
from service.worker.contexts import Contexts
from service.worker.finishing import Ended, Finishing, OnFinished
from service.worker.loop_watch import Running
from service.worker.slots import Slots

log = structlog.get_logger(__name__)

CTX_KEY = "postlude"
_QUIET = (Outcome.SUCCEEDED, Outcome.SNOOZED)


class Performer:
    """Performs attempts for one worker.

    `attempts` are those that run, by job id; `in_hand` are the ids that are being started or performed here, wait for a
    slot, or whose outcomes are not recorded yet. `changed` is set whenever one of them ends.
    """

    def __init__(self, resources: Resources, job_resources: JobResources) -> None:
        self.resources = resources
        self.lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer=resources.process_id)
        self.worker_id = resources.process_id
        self.in_hand: set[str] = set()
        self.attempts: dict[str, Attempt | ApartAttempt] = {}
        self.changed = asyncio.Event()
        self.lease_lost = False
        self._finishing = Finishing(resources.ledger, resources.catalogue, self._settle)
        self._on_finished: dict[str, OnFinished] = {}
        self._contexts = Contexts(resources, job_resources, self.lifecycle)
        self._suspected_from = suspected_from(resources.settings.max_crashes)
        self.slots = Slots(self._run, self._hand_back)

    @property
    def may_claim(self) -> bool:
        """Not while the lease is lost, nor while outcomes cannot be written: more work would only pile up."""
        return not self.lease_lost and not self._finishing.unwritable

    @property
    def runs_suspect(self) -> bool:
        """Whether a suspect runs, or waits for a slot: they run one at a time, each in a process of its own."""
        return any(one.crashes >= self._suspected_from for one in self._started)

    @property
    def crashed_in_hand(self) -> int:
        """How many of those that run, or wait for a slot, have crashed before."""
        return sum(one.crashes > 0 for one in self._started)

    @property
    def _started(self) -> list[Started]:
        return [*(attempt.started for attempt in self.attempts.values()), *self.slots.waiting]

    def running(self) -> list[Running]:
        """What runs now; safe to ask from another thread."""
        return [
            Running(attempt.started.id, attempt.started.kind, attempt.timeout_s)
            for attempt in list(self.attempts.values())
        ]

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
        kind = self.resources.catalogue[started.kind]
        if started.crashes >= self._suspected_from:
            apart = self.attempts[started.id] = ApartAttempt(started, kind, self.resources.settings, self._ended)
            apart.begin()
        else:
            attempt = self.attempts[started.id] = Attempt(started, kind, self._ended)
            attempt.begin(self._contexts.context_of(started))

    def _hand_back(self, started: Started) -> None:
        """End an attempt that has not run: its job goes back without cost."""
        policy = self.resources.catalogue[started.kind].retry
        self._finish(started, verdict.finish_of(started, verdict.of_no_slot(), policy, agreed_time.now()))

    async def idle(self) -> None:
        """Wait until nothing runs and every outcome is recorded."""
        while self.in_hand:
            self.changed.clear()
            await self.changed.wait()

    def _ended(self, started: Started, finish: Finish) -> None:
        del self.attempts[started.id]
        self._finish(started, finish)
        self.slots.end()
        self.changed.set()

    def _finish(self, started: Started, finish: Finish) -> None:
        self._finishing.add(Ended(started, finish, self._on_finished.pop(started.id)))

    async def _settle(self, recorded: Sequence[tuple[Ended, Finished | None]]) -> None:
        """Say how attempts ended, and put jobs that go on on the queue again."""
        # Out of hand before they are back on the queue, where this very worker may claim them at once.
        self.in_hand.difference_update(ended.started.id for ended, _ in recorded)
        entries: list[Entry] = []
        tells_all = logging.getLogger(__name__).isEnabledFor(logging.DEBUG)
        for ended, finished in recorded:
            if tells_all or finished is None or ended.finish.outcome not in _QUIET:
                _say(ended, finished)
            if finished is not None and ended.started.arq_id is not None:
                await self._settle_adopted(ended, finished)
            elif finished is not None and finished.state not in TERMINAL:
                started = ended.started
                entries.append(Entry(started.id, started.kind, finished.queue, finished.run_at, finished.priority))
        await self._put(entries)
        for ended, finished in recorded:
            ended.on_finished(finished)
        self.changed.set()

    async def _settle_adopted(self, ended: Ended, finished: Finished) -> None:
        try:
            await adopted.settle(self.resources.queue, ended.started, ended.finish, finished)
        except UNREACHABLE as error:
            log.warning("arq_client_not_answered", job_id=ended.started.id, error=str(error))

    async def _put(self, entries: Sequence[Entry]) -> None:
        soon = [entry for entry in entries if entry.due_at <= agreed_time.now() + HORIZON]
        if soon:
            try:
                await self.resources.queue.put(soon)
            except UNREACHABLE as error:
                remedy = "the sweep will dispatch them"
                log.warning("dispatch_failed", jobs=len(soon), error=str(error), remedy=remedy)


def _say(ended: Ended, finished: Finished | None) -> None:
    started, finish = ended.started, ended.finish
    names = {"job_id": started.id, "kind": started.kind, "attempt": started.attempt, "outcome": finish.outcome}
    if finished is None:
        log.warning("finish_refused", reason="the attempt was taken from this worker", **names)
    elif finish.outcome in _QUIET:
        log.debug("attempt_ended", state=finished.state, **names)
    else:
        error = finish.failure.type if finish.failure else None
        log.warning("attempt_ended", state=finished.state, error=error, **names)


def performer_of(ctx: Mapping[Any, Any]) -> Performer:
    """Find the performer in arq's ctx: the one key there that is ours."""
    performer: Performer = ctx[CTX_KEY]
    return performer
