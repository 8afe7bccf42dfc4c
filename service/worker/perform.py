"""One attempt, from its recorded start to its recorded finish."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from service.errors import LedgerUnavailable
from service.ledger.dispatching import HORIZON
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import TERMINAL, Outcome
from service.lifecycle import Lifecycle
from service.queue import UNREACHABLE, Entry
from service.resources import JobResources, Resources
from service.worker import adopted, verdict
from service.worker.apart import ApartAttempt, suspected_from
from service.worker.attempt import Attempt
from service.worker.backoff import outage_waits
from service.worker.contexts import Contexts
from service.worker.loop_watch import Running

log = structlog.get_logger(__name__)

CTX_KEY = "postlude"


class OutcomeNotRecordable(Exception):
    """The ledger refuses what an attempt came to, for its data."""


class Performer:
    """Performs attempts for one worker. `in_hand` are the ids that are being started or performed here."""

    def __init__(self, resources: Resources, job_resources: JobResources) -> None:
        self.resources = resources
        self.lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer=resources.process_id)
        self.worker_id = resources.process_id
        self.in_hand: set[str] = set()
        self.attempts: dict[str, Attempt | ApartAttempt] = {}
        self.lease_lost = False
        self._unwritten = 0
        self._contexts = Contexts(resources, job_resources, self.lifecycle)
        self._suspected_from = suspected_from(resources.settings.max_crashes)

    @property
    def may_claim(self) -> bool:
        """Not while the lease is lost, nor while outcomes cannot be written: more work would only pile up."""
        return not self.lease_lost and not self._unwritten

    def running(self) -> list[Running]:
        """What runs now; safe to ask from another thread."""
        return [
            Running(attempt.started.id, attempt.started.kind, attempt.timeout_s)
            for attempt in list(self.attempts.values())
        ]

    async def perform(self, started: Started) -> Finished | None:
        """Run one attempt to its end and record it; None when it was taken away meanwhile."""
        try:
            with bound_contextvars(job_id=started.id, kind=started.kind, attempt=started.attempt):
                finish = await self._run(started)
                finished = await self._record(started, finish)
                # Out of hand before it is back on the queue, where this very worker may claim it at once.
                self.in_hand.discard(started.id)
                await self._settle(started, finish, finished)
                return finished
        finally:
            self.attempts.pop(started.id, None)
            self.in_hand.discard(started.id)

    async def _run(self, started: Started) -> Finish:
        kind = self.resources.catalogue[started.kind]
        if started.crashes >= self._suspected_from:
            apart = self.attempts[started.id] = ApartAttempt(started, kind, self.resources.settings)
            return await apart.run()
        attempt = self.attempts[started.id] = Attempt(started, kind)
        return await attempt.run(self._contexts.context_of(started))

    async def _record(self, started: Started, finish: Finish) -> Finished | None:
        try:
            return await self._record_in_the_end(finish)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not stay `running` for ever
            return await self._record_in_the_end(self._unrecordable(started, error))

    async def _record_in_the_end(self, finish: Finish) -> Finished | None:
        """Record the outcome, for as long as the database takes to come back."""
        try:
            return await self.resources.ledger.finish(finish)
        except LedgerUnavailable as error:
            log.warning("outcome_not_recorded_yet", outcome=finish.outcome, error=str(error.__cause__))
        self._unwritten += 1
        try:
            return await self._record_after_outage(finish)
        finally:
            self._unwritten -= 1

    async def _record_after_outage(self, finish: Finish) -> Finished | None:
        for wait_s in outage_waits():
            await asyncio.sleep(wait_s)
            with contextlib.suppress(LedgerUnavailable):
                return await self.resources.ledger.finish(finish)
        raise AssertionError("outage_waits has no end")

    def _unrecordable(self, started: Started, error: Exception) -> Finish:
        """The database takes writes, but not this outcome: the attempt has failed, and says so."""
        log.exception("outcome_not_recordable")
        reason = OutcomeNotRecordable(f"The ledger refused the attempt's outcome: {type(error).__name__}.")
        policy = self.resources.catalogue[started.kind].retry
        return verdict.finish_of(started, verdict.of_error(reason), policy, datetime.now(UTC))

    async def _settle(self, started: Started, finish: Finish, finished: Finished | None) -> None:
        """Say how it ended, and put the job on the queue again where it goes on."""
        if finished is None:
            log.warning("finish_refused", outcome=finish.outcome, reason="the attempt was taken from this worker")
            return
        level = "info" if finish.outcome in (Outcome.SUCCEEDED, Outcome.SNOOZED) else "warning"
        error = finish.failure.type if finish.failure else None
        getattr(log, level)("attempt_ended", outcome=finish.outcome, state=finished.state, error=error)
        try:
            if started.arq_id is not None:
                await adopted.settle(self.resources.queue, started, finish, finished)
            elif finished.state not in TERMINAL:
                await self._put(started, finished)
        except UNREACHABLE as problem:
            log.warning("dispatch_failed", jobs=1, error=str(problem), remedy="the sweep will dispatch it")

    async def _put(self, started: Started, finished: Finished) -> None:
        if finished.run_at <= datetime.now(UTC) + HORIZON:
            await self.resources.queue.put([Entry(started.id, started.kind, finished.queue, finished.run_at)])


def performer_of(ctx: Mapping[Any, Any]) -> Performer:
    """Find the performer in arq's ctx: the one key there that is ours."""
    performer: Performer = ctx[CTX_KEY]
    return performer
