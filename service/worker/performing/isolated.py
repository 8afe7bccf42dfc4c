"""An attempt in a child process of its own, which dies with this one: its crash takes no neighbour with it.

`service/worker/suspects.py` says which attempts are isolated.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from datetime import timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter

from jobs import Kind
from jobs.kit.steps import Given
from service import agreed_time
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.settings import Settings
from service.worker.performing import outcome
from service.worker.performing.contexts import timeout_of
from service.worker.performing.finish import finish_of
from service.worker.performing.in_process import STOP_WAIT_S
from service.worker.performing.outcome import AttemptOutcome

log = structlog.get_logger(__name__)

HANDED: TypeAdapter[tuple[Started, Given]] = TypeAdapter(tuple[Started, Given])
FINISH: TypeAdapter[Finish] = TypeAdapter(Finish)
# Both are sent behind their length. The end of the stream marks nothing: a grandchild may keep it open for ever.
LENGTH_BYTES = 8
# Beyond its timeout: time for the interpreter to start, and for the child to give the attempt up.
_MARGIN_S = 20.0
# By then, everything that a dead child has sent has arrived. A child that has answered gets as long to end.
_LAST_WORD_S = 1.0


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


class IsolatedAttempt:
    """An attempt in a child process."""

    def __init__(self, started: Started, kind: Kind[Any, Any], settings: Settings, given: Given) -> None:
        self.started = started
        self._given = given
        self.timeout_s = timeout_of(started, kind) + _MARGIN_S
        self.blocked_s = 0.0
        self._kind = kind
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._stop_as: Outcome | None = None
        self._timed_out = False
        self._killer: asyncio.TimerHandle | None = None

    async def run(self) -> Finish:
        """Have the attempt performed; if the child dies over it, the attempt has crashed."""
        log.warning("suspect_runs_apart", job_id=self.started.id, kind=self.started.kind, crashes=self.started.crashes)
        try:
            return await self._perform_in_child()
        except asyncio.CancelledError:  # by another kind that cancels all tasks it finds
            return self._finish(outcome.of_stop(self._stop_as or Outcome.INTERRUPTED))

    def stop(self, outcome: Outcome) -> None:
        """Have the attempt cancelled; it ends as `outcome`.

        Only the first call counts; later ones do not put off the kill.
        """
        if self._stop_as is None:
            self._stop_as = outcome
            self._terminate()

    def give_up(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def crash(self, _what: str) -> None:
        """Hand the attempt back: the process that crashes is not the one that runs it."""
        self.stop(Outcome.INTERRUPTED)

    def exit(self, error: BaseException) -> None:
        """Do nothing: no code of this attempt runs on the loop of this process."""

    def is_in(self, _task: asyncio.Task[Any] | None) -> bool:
        return False

    async def stack(self) -> list[str] | None:
        """Return nothing: the child looks for such wishes itself."""
        return None

    def _terminate(self) -> None:
        """Tell the process to stop, now or as soon as it exists; kill it if it does not."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._kill_in(STOP_WAIT_S)

    async def _perform_in_child(self) -> Finish:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a `service.py` in the current folder must not stand in for ours
                "-m",
                "service.worker.performing.isolated_child",
                stdin=theirs.fileno(),
                env=os.environ | self._settings.variables(),
                start_new_session=True,  # Ctrl-C is for this process, which hands the attempt back in order
            )
            theirs.close()
            self._kill_in(self.timeout_s, of_timeout=True)
            try:
                if self._stop_as is not None:
                    self._terminate()
                said = await self._exchange(process, ours)
            finally:
                if self._killer is not None:
                    self._killer.cancel()
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        fate = await process.wait()
        return FINISH.validate_json(said) if said else self._finish(self._outcome_of_death(fate))

    async def _exchange(self, process: asyncio.subprocess.Process, ours: socket.socket) -> bytes | None:
        """Hand the attempt over and wait for its finish; None if the process ends without one.

        Our end of the socket stays open for as long as we live: that is how the child knows that we live.
        """
        reader, writer = await asyncio.open_connection(sock=ours)
        answer = asyncio.create_task(_answer_from(reader))
        died = asyncio.create_task(process.wait())
        try:
            with contextlib.suppress(OSError):
                writer.write(framed(HANDED.dump_json((self.started, self._given))))
                await writer.drain()
            await asyncio.wait({answer, died}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({answer} if died.done() else {died}, timeout=_LAST_WORD_S)
            return answer.result() if answer.done() else None
        finally:
            answer.cancel()
            died.cancel()
            writer.close()

    def _kill_in(self, seconds: float, *, of_timeout: bool = False) -> None:
        if self._killer is not None:
            self._killer.cancel()
        kill = self._time_out if of_timeout else self.give_up
        self._killer = asyncio.get_running_loop().call_later(seconds, kill)

    def _time_out(self) -> None:
        """Kill a child that its own timeout has not ended: its loop is blocked, or its interpreter is stuck."""
        self._timed_out = True
        self.give_up()

    def _outcome_of_death(self, fate: int) -> AttemptOutcome:
        if self._stop_as is not None:
            return outcome.of_stop(self._stop_as)
        if self._timed_out:
            timeout = timedelta(seconds=self.timeout_s - _MARGIN_S)
            return outcome.of_timeout(timeout, outcome.Blocked(self.timeout_s, by_itself=True))
        if fate == -signal.SIGTERM:  # a supervisor that stops the worker may signal all of its processes
            return outcome.of_stop(Outcome.INTERRUPTED)
        how = f"by signal {-fate}" if fate < 0 else f"with exit code {fate}"
        what = f"The process that ran this job alone ended {how}."
        return outcome.of_crash(what, self.started.crashes + 1, self._settings.max_crashes)

    def _finish(self, ended: AttemptOutcome) -> Finish:
        return finish_of(self.started, ended, self._kind.retry, agreed_time.now())


async def _answer_from(reader: asyncio.StreamReader) -> bytes | None:
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
