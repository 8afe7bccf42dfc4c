"""One attempt in this process: the kind's coroutine under its timeout, and the verdict on how it ended."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from jobs import Context, Discard, Kind
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.lifecycle import describe
from service.worker import verdict
from service.worker.verdict import Verdict

log = structlog.get_logger(__name__)

MAX_RESULT_BYTES = 256 * 1024
# What an attempt gets to clean up after its timeout; then it is over, whether it has ended or not.
STOP_WAIT_S = 5.0


class KindExited(Exception):
    """A kind called `sys.exit()`, or raised another exception that would have ended the worker."""


class ResultTooLarge(Exception):
    """A result is larger than the ledger takes."""


class Attempt:
    """A running attempt, and how to end it early."""

    def __init__(self, started: Started, kind: Kind[Any, Any]) -> None:
        self.started = started
        self.timeout_s = timeout_of(started, kind)
        self._kind = kind
        self._stop_as: Outcome | None = None
        self._timed_out = False
        self._task: asyncio.Task[str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    async def run(self, context: Context) -> Finish:
        """Run the kind to its end or its timeout. One that swallows its cancellation is over all the same."""
        loop = asyncio.get_running_loop()
        if self._stop_as is None:
            self._task = loop.create_task(_call(self._kind, context, self.started.args))
            self._task.add_done_callback(self._on_end)
            self._timer = loop.call_later(self.timeout_s, self._time_out)
        else:
            self.give_up()
        ended = await self._ended
        return verdict.finish_of(self.started, ended, self._kind.retry, datetime.now(UTC))

    def stop(self, outcome: Outcome) -> None:
        """Cancel the kind's coroutine; the attempt ends as `outcome`. Asking again changes nothing."""
        if self._stop_as is None:
            self._stop_as = outcome
            if self._task is not None:
                self._task.cancel()

    def give_up(self) -> None:
        """Wait no longer for a coroutine that does not end."""
        if not self._ended.done():
            if self._task is not None:
                log.error("attempt_abandoned", reason="it goes on although it was cancelled")
            self._end()

    def _time_out(self) -> None:
        assert self._task is not None
        self._timed_out = True
        self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(STOP_WAIT_S, self.give_up)

    def _on_end(self, task: asyncio.Task[str]) -> None:
        if self._ended.done():
            with contextlib.suppress(asyncio.CancelledError):
                log.warning("abandoned_attempt_ended", kind=self.started.kind, error=repr(task.exception()))
        else:
            self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set_result(self._verdict())

    def _verdict(self) -> Verdict:
        task = self._task
        ended = task is not None and task.done()
        error = task.exception() if task and ended and not task.cancelled() else None
        if self._timed_out:
            return verdict.of_timeout(timedelta(seconds=self.timeout_s))
        if self._stop_as is not None and (not ended or error is not None or (task and task.cancelled())):
            return verdict.of_stop(self._stop_as)
        assert task is not None
        if task.cancelled():
            return verdict.of_error(asyncio.CancelledError())
        return Verdict(Outcome.SUCCEEDED, result=task.result()) if error is None else verdict.of_error(error)


def timeout_of(started: Started, kind: Kind[Any, Any]) -> float:
    """Give the attempt's timeout in seconds: the job's own, else its kind's."""
    return kind.timeout.total_seconds() if started.timeout_s is None else started.timeout_s


async def _call(kind: Kind[Any, Any], context: Context, stored_args: str) -> str:
    """Call the kind's function; gives its result as JSON."""
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
    result = kind.dump_result(value)
    if len(result.encode()) > MAX_RESULT_BYTES:
        raise ResultTooLarge(
            f"The result has {len(result)} characters of JSON; at most {MAX_RESULT_BYTES} bytes are kept."
        )
    json.loads(result)  # what cannot be read back must not be kept: a number of 5,000 digits, say
    return result.replace("\\u0000", "\\ufffd")
