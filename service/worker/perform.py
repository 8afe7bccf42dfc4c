"""One attempt, from its recorded start to its recorded finish."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError
from structlog.contextvars import bound_contextvars

from jobs import Context, Discard, Kind
from jobs.outcomes import to_timedelta
from service.errors import LedgerUnavailable
from service.ledger.dispatching import HORIZON
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import TERMINAL, Outcome
from service.lifecycle import Lifecycle, Options, describe
from service.queue import UNREACHABLE, Entry
from service.resources import JobResources, Resources
from service.worker import adopted, verdict
from service.worker.backoff import outage_waits
from service.worker.loop_watch import Running
from service.worker.progress import ProgressNotes
from service.worker.verdict import Verdict

log = structlog.get_logger(__name__)

CTX_KEY = "postlude"
MAX_RESULT_BYTES = 256 * 1024
# What an attempt gets to clean up after its timeout; then it is over, whether it has ended or not.
STOP_WAIT_S = 5.0


class KindExited(Exception):
    """A kind called `sys.exit()`, or raised another exception that would have ended the worker."""


class ResultTooLarge(Exception):
    """A result is larger than the ledger takes."""


class OutcomeNotRecordable(Exception):
    """The ledger refuses what an attempt came to, for its data."""


@dataclass(eq=False)
class Attempt:
    """A running attempt, and how to end it early."""

    started: Started
    stop_as: Outcome | None = None
    task: asyncio.Task[str] | None = None
    given_up: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Asking again changes nothing."""
        if self.stop_as is None:
            self.stop_as = outcome
            if self.task is not None:
                self.task.cancel()

    def give_up(self) -> None:
        """Wait no longer for a coroutine that does not end."""
        if not self.given_up.done():
            self.given_up.set_result(None)


class Performer:
    """Performs attempts for one worker. `in_hand` are the ids that are being started or performed here."""

    def __init__(self, resources: Resources, job_resources: JobResources) -> None:
        self.resources = resources
        self.lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer=resources.process_id)
        self.worker_id = resources.process_id
        self.in_hand: set[str] = set()
        self.attempts: dict[str, Attempt] = {}
        self.lease_lost = False
        self._unwritten = 0
        self._job_resources = job_resources

    @property
    def may_claim(self) -> bool:
        """Not while the lease is lost, nor while outcomes cannot be written: more work would only pile up."""
        return not self.lease_lost and not self._unwritten

    def running(self) -> list[Running]:
        """What runs now; safe to ask from another thread."""
        return [
            Running(started.id, started.kind, self._timeout(started).total_seconds())
            for started in [attempt.started for attempt in list(self.attempts.values())]
        ]

    async def perform(self, started: Started) -> Finished | None:
        """Run one attempt to its end and record it; None when it was taken away meanwhile."""
        kind = self.resources.catalogue[started.kind]
        attempt = self.attempts[started.id] = Attempt(started)
        try:
            with bound_contextvars(job_id=started.id, kind=started.kind, attempt=started.attempt):
                ended = await self._attempt(kind, attempt)
                finish = verdict.finish_of(started, ended, kind.retry, datetime.now(UTC))
                try:
                    finished = await self._record(finish)
                except Exception as error:  # noqa: BLE001 - whatever it is, the job must not stay `running` for ever
                    finish = self._unrecordable(started, kind, error)
                    finished = await self._record(finish)
                # Out of hand before it is back on the queue, where this very worker may claim it at once.
                self.in_hand.discard(started.id)
                await self._settle(started, finish, finished)
                return finished
        finally:
            self.attempts.pop(started.id, None)
            self.in_hand.discard(started.id)

    async def _attempt(self, kind: Kind[Any, Any], attempt: Attempt) -> Verdict:
        """Run the kind under its timeout. An attempt that swallows its cancellation is over all the same."""
        timeout = self._timeout(attempt.started)
        attempt.task = asyncio.create_task(self._call(kind, attempt.started), name=f"attempt-{attempt.started.id}")
        if attempt.stop_as is not None:
            attempt.task.cancel()
        waiting: set[asyncio.Future[Any]] = {attempt.task, attempt.given_up}
        await asyncio.wait(waiting, timeout=timeout.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        timed_out = not attempt.task.done() and not attempt.given_up.done()
        if timed_out:
            attempt.task.cancel()
            await asyncio.wait(waiting, timeout=STOP_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not attempt.task.done():
            log.error("attempt_abandoned", reason="it goes on although it was cancelled")
            attempt.task.add_done_callback(_forget)
        return self._verdict(attempt, timeout if timed_out else None)

    def _timeout(self, started: Started) -> timedelta:
        if started.timeout_s is not None:
            return timedelta(seconds=started.timeout_s)
        return self.resources.catalogue[started.kind].timeout

    def _verdict(self, attempt: Attempt, timeout: timedelta | None) -> Verdict:
        task = attempt.task
        assert task is not None
        error = task.exception() if task.done() and not task.cancelled() else None
        if timeout is not None:
            return verdict.of_timeout(timeout)
        if attempt.stop_as is not None and (not task.done() or task.cancelled() or error is not None):
            return verdict.of_stop(attempt.stop_as)
        if task.cancelled():
            return verdict.of_error(asyncio.CancelledError())
        return Verdict(Outcome.SUCCEEDED, result=task.result()) if error is None else verdict.of_error(error)

    async def _call(self, kind: Kind[Any, Any], started: Started) -> str:
        """Call the kind's function; gives its result as JSON."""
        try:
            args = kind.load_args(started.args)
        except ValidationError as error:
            reason = f"The stored args no longer fit {kind.name}: {describe(error)}"
            raise Discard(reason) from None
        try:
            value = await kind.function(self._context(started), args)
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # asyncio would let these through, and end the worker with all its other jobs.
            raise KindExited(f"the kind raised {error!r}") from error
        result = kind.dump_result(value)
        if len(result.encode()) > MAX_RESULT_BYTES:
            raise ResultTooLarge(
                f"The result has {len(result)} characters of JSON; at most {MAX_RESULT_BYTES} bytes are kept."
            )
        json.loads(result)  # what cannot be read back must not be kept: a number of 5,000 digits, say
        return result.replace("\\u0000", "\\ufffd")

    def _context(self, started: Started) -> Context:
        resources = self.resources
        return Context(
            job_id=started.id,
            kind=started.kind,
            attempt=started.attempt,
            created_at=started.created_at,
            http=self._job_resources.http,
            mailer=self._job_resources.mailer,
            files=self._job_resources.files,
            ledger=resources.ledger,
            session=resources.ledger.session,
            progress=ProgressNotes(resources.ledger, started.id, started.attempt),
            enqueue=self._enqueue,
            log=structlog.get_logger(f"jobs.{started.kind}").bind(
                job_id=started.id, kind=started.kind, attempt=started.attempt
            ),
        )

    async def _enqueue(self, kind: str, args: Any = None, **options: Any) -> str:
        for name in ("delay", "timeout", "expires_in"):
            if options.get(name) is not None:
                options[name] = to_timedelta(options[name])
        options["tags"] = tuple(options.get("tags", ()))
        self.resources.check_queue(options.get("queue"))
        return await self.lifecycle.enqueue_one(kind, args, Options(**options))

    async def _record(self, finish: Finish) -> Finished | None:
        """Record the outcome, for as long as the database takes to come back."""
        try:
            return await self.resources.ledger.finish(finish)
        except LedgerUnavailable as error:
            log.warning("outcome_not_recorded_yet", outcome=finish.outcome, error=str(error.__cause__))
        self._unwritten += 1
        try:
            return await self._record_in_the_end(finish)
        finally:
            self._unwritten -= 1

    async def _record_in_the_end(self, finish: Finish) -> Finished | None:
        for wait_s in outage_waits():
            await asyncio.sleep(wait_s)
            with contextlib.suppress(LedgerUnavailable):
                return await self.resources.ledger.finish(finish)
        raise AssertionError("outage_waits has no end")

    def _unrecordable(self, started: Started, kind: Kind[Any, Any], error: Exception) -> Finish:
        """The database takes writes, but not this outcome: the attempt has failed, and says so."""
        log.exception("outcome_not_recordable")
        reason = OutcomeNotRecordable(f"The ledger refused the attempt's outcome: {type(error).__name__}.")
        return verdict.finish_of(started, verdict.of_error(reason), kind.retry, datetime.now(UTC))

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


def _forget(task: asyncio.Task[str]) -> None:
    """Take note of an abandoned attempt's end, so that asyncio does not complain of an error nobody saw."""
    with contextlib.suppress(asyncio.CancelledError):
        log.warning("abandoned_attempt_ended", task=task.get_name(), error=repr(task.exception()))
