"""One attempt in this process: the kind's coroutine under its timeout, and how it is judged."""

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from jobs import Context, Kind, RetryPolicy
from service import agreed_time, logs
from service.hooks import Hooks
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.performing import Performing, performing
from service.worker.performing import outcome, stack
from service.worker.performing.calling import KindExited, args_of, success_of
from service.worker.performing.contexts import timeout_of
from service.worker.performing.deadlines import Deadlines
from service.worker.performing.exchanged import with_exchange
from service.worker.performing.failure import line_of, type_name
from service.worker.performing.finish import finish_of
from service.worker.performing.outcome import AttemptOutcome
from service.worker.performing.redaction import mask_of
from service.worker.performing.within_hooks import within_hooks

log = structlog.get_logger(__name__)

# How long an attempt may clean up after its timeout; then it is over, whether it has ended or not.
STOP_WAIT_S = 5.0
# A timeout that comes this much too late was held up by a blocked loop.
_LATE_S = 1.0


class InProcessAttempt:
    """An attempt whose kind runs on this loop, in a task of its own that can be abandoned."""

    def __init__(
        self,
        started: Started,
        kind: Kind[Any, Any],
        context: Context,
        *,
        deadlines: Deadlines,
        hooks: Hooks,
        max_crashes: int,
    ) -> None:
        self.started = started
        self.timeout_s = timeout_of(started, kind)
        self.blocked_s = 0.0  # for how long the watch has seen this attempt block the loop
        mask = mask_of(kind, started.args) if kind.has_secrets else None
        self._performing = Performing(started.id, started.kind, started.attempt, started.args, mask=mask)
        self._kind = kind
        self._context = context
        self._deadlines = deadlines
        self._hooks = hooks
        self._max_crashes = max_crashes
        self._stop_as: Outcome | None = None
        self._exited: KindExited | None = None
        self._crashed: AttemptOutcome | None = None
        self._timed_out = self._timed_out_late = False
        self._has_begun = self._is_over = False
        self._began_at = self._ran_for_s = 0.0
        self._task: asyncio.Task[AttemptOutcome] | None = None
        self._over: asyncio.Future[None] | None = None

    async def run(self) -> Finish:
        """Run the kind to its end, its timeout or its stop, and judge how it ended. Never raises.

        A kind that swallows its cancellation is over all the same, after `STOP_WAIT_S`.
        """
        loop = asyncio.get_running_loop()
        if self._stop_as is None:
            self._began_at = loop.time()
            self._task = loop.create_task(self._call())
            self._deadlines.add(self, self._began_at + self.timeout_s)
            while not self._is_over:
                self._over = loop.create_future()
                try:
                    await self._over
                except asyncio.CancelledError:
                    continue  # by another kind that cancels all tasks it finds
            self._deadlines.remove(self)
        return self._judge()

    async def _call(self) -> AttemptOutcome:
        """Call the kind's function, within the hooks if there are any; return its success."""
        self._has_begun = True
        performing.set(self._performing)
        try:
            if self._hooks.attempts:
                return await within_hooks(self._hooks.around_attempt(self.started, self._context), self._call_kind)
            value = await self._kind.call(self._context, args_of(self.started, self._kind))
            return success_of(self._kind, value)
        except (SystemExit, KeyboardInterrupt) as error:
            # asyncio would let these through, and end the worker with all its other jobs.
            raise KindExited(f"the kind raised {line_of(error)}") from error
        finally:
            self._end()

    async def _call_kind(self) -> AttemptOutcome:
        value = await self._kind.call(self._context, args_of(self.started, self._kind))
        return success_of(self._kind, value)

    # ---- ending early

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Only the first call counts."""
        if self._stop_as is None:
            self._stop_as = outcome
            self._cancel()

    def time_out(self) -> None:
        """Cancel the kind's coroutine, because its time is up; give it up if it does not end then."""
        assert self._task is not None
        if self._task.done():
            self._end()
            return
        loop = asyncio.get_running_loop()
        self._timed_out, self._timed_out_late = True, loop.time() - self._began_at > self.timeout_s + _LATE_S
        self._cancel()
        loop.call_later(STOP_WAIT_S, self.give_up)

    def give_up(self) -> None:
        """Stop waiting for a coroutine that does not end."""
        if not self._is_over:
            self._abandon()
            reason = "it goes on running although it was cancelled"
            logs.surely(log.error, "attempt_abandoned", reason=reason, **self._names())

    def exit(self, error: BaseException) -> None:
        """Called when a task or callback that the kind left to the loop raised `SystemExit` or the like."""
        if self._exited is None and not self._is_over:
            self._exited = KindExited(f"a task of the kind raised {line_of(error)}")
            self._exited.__cause__ = error
            self._cancel()
            asyncio.get_running_loop().call_later(STOP_WAIT_S, self.give_up)

    def crash(self, what: str) -> None:
        """End the attempt now, as crashed: the process that runs it is ending."""
        if not self._is_over:
            self._crashed = outcome.of_crash(what, self.started.crashes + 1, self._max_crashes)
            self._abandon()
            self._cancel()  # others may run the job before the process is gone

    def is_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the kind's own coroutine."""
        return task is not None and task is self._task

    async def stack(self) -> list[str] | None:
        return [] if self._task is None else stack.of_task(self._task)

    def _cancel(self) -> None:
        if self._task is None:
            return
        try:
            self._task.cancel()
        except BaseException as error:  # noqa: BLE001 - it may wait for an author's future with a `cancel` of its own
            logs.surely(log.warning, "attempt_not_cancelled", error=type_name(error), **self._names())
        if not self._has_begun:
            self._end()  # it never will begin

    def _abandon(self) -> None:
        self._end()
        if self._task is not None:
            self._task.add_done_callback(self._tell_abandoned)

    def _tell_abandoned(self, task: asyncio.Task[AttemptOutcome]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.surely(log.warning, "abandoned_attempt_ended", error=type_name(error), **self._names())

    def _end(self) -> None:
        """Mark the attempt as over, whatever its coroutine does."""
        if not self._is_over:
            self._is_over = self._performing.is_over = True
            self._ran_for_s = asyncio.get_running_loop().time() - self._began_at
            if self._over is not None and not self._over.done():
                self._over.set_result(None)

    # ---- judging

    def _judge(self) -> Finish:
        """Judge the end. Never raises: an end that cannot be judged is a plain failure."""
        at = agreed_time.now()
        try:
            finish = finish_of(self.started, self._outcome(), self._kind.retry, at)
            return finish if self._performing.exchange is None else with_exchange(finish, self._performing, self._kind)
        except BaseException as problem:  # noqa: BLE001 - no attempt may stay `running` for ever because its end is odd
            logs.surely(log.error, "outcome_untold", error=type_name(problem), **self._names())
            return finish_of(self.started, outcome.of_untold(problem), RetryPolicy(), at)

    def _outcome(self) -> AttemptOutcome:
        task = self._task
        cancelled = task is not None and task.done() and task.cancelled()
        error = task.exception() if task is not None and task.done() and not cancelled else None
        if self._crashed is not None:
            return self._crashed
        if self._timed_out:
            return outcome.of_timeout(timedelta(seconds=self.timeout_s), self._blocked())
        if self._exited is not None:
            return outcome.of_error(self._exited)
        if self._stop_as is not None and (task is None or not task.done() or cancelled or error is not None):
            return outcome.of_stop(self._stop_as)
        if cancelled:
            return outcome.of_error(asyncio.CancelledError())
        if error is not None:
            return outcome.of_error(error)
        assert task is not None
        self._tell_if_late()
        return task.result()

    def _blocked(self) -> outcome.Blocked | None:
        """Return how the loop was blocked if that made the timeout late, else None."""
        return outcome.Blocked(self._ran_for_s, by_itself=self.blocked_s > 0) if self._timed_out_late else None

    def _tell_if_late(self) -> None:
        """Warn about a kind that returned after its timeout, before the blocked loop could notice.

        It has succeeded all the same.
        """
        if self._ran_for_s > self.timeout_s + _LATE_S:
            took = {"ran_for_s": round(self._ran_for_s, 1), "timeout_s": self.timeout_s}
            reason = "the event loop was blocked, so its timeout could not end it"
            remedy = "run blocking work by `await ctx.thread(...)`"
            logs.surely(log.warning, "attempt_overran", reason=reason, remedy=remedy, **took, **self._names())

    def _names(self) -> dict[str, Any]:
        return self._performing.names
