"""One attempt in this process: the kind's coroutine under its timeout, and the verdict on how it ended."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from jobs import Context, Discard, Kind
from service import agreed_time, logs
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.lifecycle import describe
from service.worker import verdict
from service.worker.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_RESULT_BYTES = 256 * 1024
# Python reads numbers of up to 4,300 digits, and lists in lists some hundred deep: no shorter result can be trouble.
_SURELY_READABLE = 500
# What an attempt gets to clean up after its timeout; then it is over, whether it has ended or not.
STOP_WAIT_S = 5.0


OnEnd = Callable[[Started, Finish], None]


class KindExited(Exception):
    """A kind called `sys.exit()`, or raised another exception that would have ended the worker."""


class ResultTooLarge(Exception):
    """A result is larger than the ledger takes."""


class Attempt:
    """A running attempt, and how to end it early. `on_end` gets its finish; it is called once, on the loop."""

    def __init__(self, started: Started, kind: Kind[Any, Any], on_end: OnEnd) -> None:
        self.started = started
        self.timeout_s = timeout_of(started, kind)
        self._kind = kind
        self._on_end = on_end
        self._stop_as: Outcome | None = None
        self._timed_out = False
        self._ended = False
        self._task: asyncio.Task[str] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, context: Context) -> None:
        """Run the kind to its end or its timeout. One that swallows its cancellation is over all the same."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(_call(self._kind, context, self.started.args))
        self._task.add_done_callback(self._task_done)
        self._timer = loop.call_later(self.timeout_s, self._time_out)

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Asking again changes nothing."""
        if self._stop_as is None and self._task is not None:
            self._stop_as = outcome
            self._task.cancel()

    def give_up(self) -> None:
        """Wait no longer for a coroutine that does not end."""
        if not self._ended:
            log.error("attempt_abandoned", reason="it goes on although it was cancelled", **self._names())
            self._end()

    def _time_out(self) -> None:
        assert self._task is not None
        self._timed_out = True
        self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(STOP_WAIT_S, self.give_up)

    def _task_done(self, task: asyncio.Task[str]) -> None:
        if self._ended:
            with contextlib.suppress(asyncio.CancelledError):
                log.warning("abandoned_attempt_ended", error=repr(task.exception()), **self._names())
        else:
            self._end()

    def _end(self) -> None:
        assert self._timer is not None
        self._ended = True
        self._timer.cancel()
        self._on_end(
            self.started, verdict.finish_of(self.started, self._verdict(), self._kind.retry, agreed_time.now())
        )

    def _verdict(self) -> Verdict:
        task = self._task
        assert task is not None
        cancelled = task.done() and task.cancelled()
        error = task.exception() if task.done() and not cancelled else None
        if self._timed_out:
            return verdict.of_timeout(timedelta(seconds=self.timeout_s))
        if self._stop_as is not None and (not task.done() or cancelled or error is not None):
            return verdict.of_stop(self._stop_as)
        if cancelled:
            return verdict.of_error(asyncio.CancelledError())
        return Verdict(Outcome.SUCCEEDED, result=task.result()) if error is None else verdict.of_error(error)

    def _names(self) -> dict[str, Any]:
        return {"job_id": self.started.id, "kind": self.started.kind, "attempt": self.started.attempt}


def timeout_of(started: Started, kind: Kind[Any, Any]) -> float:
    """Give the attempt's timeout in seconds: the job's own, else its kind's."""
    return kind.timeout.total_seconds() if started.timeout_s is None else started.timeout_s


async def _call(kind: Kind[Any, Any], context: Context, stored_args: str) -> str:
    """Call the kind's function; gives its result as JSON."""
    logs.performing.set({"job_id": context.job_id, "kind": context.kind, "attempt": context.attempt})
    try:
        args = kind.load_args(stored_args)
    except ValidationError as error:
        reason = f"The stored args no longer fit {kind.name}: {describe(error)}"
        raise Discard(reason) from None
    try:
        value = await kind.function(context, args)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        # asyncio would let these through, and end the worker with all its other jobs.
        raise KindExited(f"the kind raised {error!r}") from error
    return _kept(kind.dump_result(value))


def _kept(result: str) -> str:
    """Give a result's JSON as the ledger keeps it. Raises `ResultTooLarge`, and what `json.loads` does."""
    if len(result) > _SURELY_READABLE:
        if len(result.encode()) > MAX_RESULT_BYTES:
            raise ResultTooLarge(
                f"The result has {len(result)} characters of JSON; at most {MAX_RESULT_BYTES} bytes are kept."
            )
        json.loads(result)  # what cannot be read back must not be kept
    return result.replace("\\u0000", "\\ufffd")
