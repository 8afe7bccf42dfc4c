"""One attempt in this process: the kind's coroutine under its timeout, and the verdict on how it ended."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from jobs import Context, Discard, Kind, RetryPolicy
from service import agreed_time, logs
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.lifecycle.args import describe
from service.worker.performing import verdict
from service.worker.performing.failure import line_of, type_name
from service.worker.performing.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_RESULT_BYTES = 256 * 1024
# Python reads numbers of up to 4,300 digits, and lists in lists some hundred deep: no shorter result can be trouble.
_SURELY_READABLE = 500
# What an attempt gets to clean up after its timeout; then it is over, whether it has ended or not.
STOP_WAIT_S = 5.0
# A timeout that comes so much later than it should was held up by a blocked loop.
_LATE_S = 1.0


OnEnd = Callable[[Started, Finish], None]


class KindExited(Exception):
    """A kind, or a task of its own, called `sys.exit()` or raised something else that would have ended the worker."""


class ResultTooLarge(Exception):
    """A result is larger than the ledger takes."""


class Attempt:
    """A running attempt, and how to end it early. `on_end` gets its finish; it is called once, on the loop."""

    def __init__(self, started: Started, kind: Kind[Any, Any], on_end: OnEnd) -> None:
        self.started = started
        self.timeout_s = timeout_of(started, kind)
        self._kind = kind
        self._on_end = on_end
        self.blocked_s = 0.0  # for how long the loop's watch has seen it block the loop
        self._stop_as: Outcome | None = None
        self._exited: KindExited | None = None
        self._timed_out = self._timed_out_late = False
        self._ended = False
        self._began_at = 0.0
        self._task: asyncio.Task[Verdict] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, context: Context) -> None:
        """Run the kind to its end or its timeout. One that swallows its cancellation is over all the same."""
        loop = asyncio.get_running_loop()
        self._began_at = loop.time()
        self._task = loop.create_task(_call(self._kind, context, self.started.args))
        self._task.add_done_callback(self._task_done)
        self._timer = loop.call_later(self.timeout_s, self._time_out)

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Asking again changes nothing."""
        if self._stop_as is None and self._task is not None:
            self._stop_as = outcome
            self._cancel()

    def give_up(self) -> None:
        """Wait no longer for a coroutine that does not end."""
        if not self._ended:
            self._end()
            reason = "it goes on although it was cancelled"
            logs.surely(log.error, "attempt_abandoned", reason=reason, **self._names())

    def exit(self, error: BaseException) -> None:
        """Hear that a task or callback which the kind left to the loop raised `SystemExit` or the like."""
        if self._exited is None and not self._ended:
            self._exited = KindExited(f"a task of the kind raised {line_of(error)}")
            self._exited.__cause__ = error
            self._cancel()
            asyncio.get_running_loop().call_later(STOP_WAIT_S, self.give_up)

    def crash(self, verdict_of_crash: Verdict) -> None:
        """End it here and now: the process that runs it ends."""
        if not self._ended:
            self._end(verdict_of_crash)
            self._cancel()  # others may run the job before the process is gone

    def is_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether `task` is the kind's own coroutine."""
        return task is not None and task is self._task

    def _cancel(self) -> None:
        assert self._task is not None
        try:
            self._task.cancel()
        except BaseException as error:  # noqa: BLE001 - it may wait for an author's future, with its own `cancel`
            logs.surely(log.warning, "attempt_not_cancelled", error=type_name(error), **self._names())

    def _time_out(self) -> None:
        assert self._task is not None
        if self._task.done():
            return  # it has ended in the same turn of the loop, and that is told next
        self._timed_out, self._timed_out_late = True, self._is_late
        self._timer = asyncio.get_running_loop().call_later(STOP_WAIT_S, self.give_up)
        self._cancel()

    def _task_done(self, task: asyncio.Task[Verdict]) -> None:
        if not self._ended:
            self._end()
        elif not task.cancelled() and (error := task.exception()) is not None:
            logs.surely(log.warning, "abandoned_attempt_ended", error=type_name(error), **self._names())

    def _end(self, ended: Verdict | None = None) -> None:
        """Hand on the attempt's end; from here on it is over, whatever its coroutine does."""
        assert self._timer is not None
        finish = self._finish(ended)
        self._ended = True
        self._timer.cancel()
        self._on_end(self.started, finish)

    def _finish(self, ended: Verdict | None) -> Finish:
        """Judge the end. Never raises: an end that cannot be told is a plain failure."""
        at = agreed_time.now()
        try:
            return verdict.finish_of(self.started, ended or self._verdict(), self._kind.retry, at)
        except BaseException as problem:  # noqa: BLE001 - no attempt may run for ever because its end is odd
            logs.surely(log.error, "outcome_untold", error=type_name(problem), **self._names())
            return verdict.finish_of(self.started, verdict.of_untold(problem), RetryPolicy(), at)

    def _verdict(self) -> Verdict:
        task = self._task
        assert task is not None
        cancelled = task.done() and task.cancelled()
        error = task.exception() if task.done() and not cancelled else None
        if self._timed_out:
            return verdict.of_timeout(timedelta(seconds=self.timeout_s), self._blocked())
        if self._exited is not None:
            return verdict.of_error(self._exited)
        if self._stop_as is not None and (not task.done() or cancelled or error is not None):
            return verdict.of_stop(self._stop_as)
        if cancelled:
            return verdict.of_error(asyncio.CancelledError())
        if error is not None:
            return verdict.of_error(error)
        self._tell_if_late()
        return task.result()

    def _blocked(self) -> verdict.Blocked | None:
        """Say that the timeout came late because the loop did not turn, where it did."""
        return verdict.Blocked(self._ran_for_s, by_itself=self.blocked_s > 0) if self._timed_out_late else None

    def _tell_if_late(self) -> None:
        """One that returned before its timeout could be noticed has succeeded: what it did is done."""
        if self._is_late:
            took = {"ran_for_s": round(self._ran_for_s, 1), "timeout_s": self.timeout_s}
            reason = "the event loop was blocked, so its timeout could not end it"
            remedy = "run blocking work by `await ctx.thread(...)`"
            logs.surely(log.warning, "attempt_overran", reason=reason, remedy=remedy, **took, **self._names())

    @property
    def _is_late(self) -> bool:
        return self._ran_for_s > self.timeout_s + _LATE_S

    @property
    def _ran_for_s(self) -> float:
        return asyncio.get_running_loop().time() - self._began_at

    def _names(self) -> dict[str, Any]:
        return {"job_id": self.started.id, "kind": self.started.kind, "attempt": self.started.attempt}


def timeout_of(started: Started, kind: Kind[Any, Any]) -> float:
    """Return the attempt's timeout in seconds: the job's own, else its kind's."""
    return kind.timeout.total_seconds() if started.timeout_s is None else started.timeout_s


async def _call(kind: Kind[Any, Any], context: Context, stored_args: str) -> Verdict:
    """Call the kind's function; returns its success."""
    logs.performing.set({"job_id": context.job_id, "kind": context.kind, "attempt": context.attempt})
    try:
        value = await kind.function(context, _args_of(kind, stored_args))
        return verdict.of_result(_kept(kind.dump_result(value)), value)
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio would let these through, and end the worker with all its other jobs.
        raise KindExited(f"the kind raised {line_of(error)}") from error


def _args_of(kind: Kind[Any, Any], stored_args: str) -> Any:
    try:
        return kind.load_args(stored_args)
    except ValidationError as error:
        reason = f"The stored args no longer fit {kind.name}: {describe(error)}"
        raise Discard(reason) from None


def _kept(result: str) -> str:
    """Return a result's JSON as the ledger keeps it. Raises `ResultTooLarge`, and what `json.loads` does."""
    if len(result) > _SURELY_READABLE or "NaN" in result or "Infinity" in result:
        if len(result.encode()) > MAX_RESULT_BYTES:
            raise ResultTooLarge(
                f"The result has {len(result)} characters of JSON; at most {MAX_RESULT_BYTES} bytes are kept."
            )
        json.loads(result, parse_constant=_refuse)  # what cannot be read back must not be kept
    return result.replace("\\u0000", "\\ufffd")


def _refuse(constant: str) -> None:
    raise ValueError(f"the result holds {constant}, which is no JSON")
