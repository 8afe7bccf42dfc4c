"""Attempts of suspects: jobs that have crashed before run in a process of their own, and take nobody with them."""

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
from service import agreed_time
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.settings import Settings
from service.worker.performing import verdict
from service.worker.performing.attempt import STOP_WAIT_S, OnEnd, timeout_of
from service.worker.performing.verdict import Verdict

log = structlog.get_logger(__name__)

STARTED: TypeAdapter[Started] = TypeAdapter(Started)
FINISH: TypeAdapter[Finish] = TypeAdapter(Finish)
# Both are sent behind their length: the end of a stream is no mark, for a grandchild may keep it open for ever.
LENGTH_BYTES = 8
# Beyond its timeout: for the interpreter to start, and for the attempt to be given up in there.
_MARGIN_S = 20.0
# What a child that has died may have sent before is here by then; and one that has answered gets as long to end.
_LAST_WORD_S = 1.0


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


class ApartAttempt:
    """An attempt in a process of its own, which dies with this one. Stopped like an `Attempt`."""

    def __init__(self, started: Started, kind: Kind[Any, Any], settings: Settings, on_end: OnEnd) -> None:
        self.started = started
        self.timeout_s = timeout_of(started, kind) + _MARGIN_S
        self._kind = kind
        self._on_end = on_end
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._stop_as: Outcome | None = None
        self._timed_out = False
        self._killer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have the attempt performed; a process that dies over it has crashed."""
        self._task = asyncio.create_task(self._run(), name=f"apart-{self.started.id}")
        self._task.add_done_callback(self._task_done)
        log.warning("suspect_runs_apart", job_id=self.started.id, kind=self.started.kind, crashes=self.started.crashes)

    def stop(self, outcome: Outcome) -> None:
        """Have the attempt cancelled; it ends as `outcome`. Asking again changes nothing, nor puts off the kill."""
        if self._stop_as is None:
            self._stop_as = outcome
            self._terminate()

    def give_up(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _terminate(self) -> None:
        """Tell the process to stop, or have it told as soon as it is there; one that does not is killed."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._kill_in(STOP_WAIT_S)

    def _task_done(self, task: asyncio.Task[Finish]) -> None:
        if task.cancelled():
            finish = self._finish(verdict.of_stop(self._stop_as or Outcome.INTERRUPTED))
        elif (error := task.exception()) is not None:
            finish = self._finish(verdict.of_error(error))
        else:
            finish = task.result()
        self._on_end(self.started, finish)

    async def _run(self) -> Finish:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service.worker.performing.isolated_child",
                stdin=theirs.fileno(),
                env=os.environ | self._settings.environment(),
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
        return FINISH.validate_json(said) if said else self._died(fate)

    async def _exchange(self, process: asyncio.subprocess.Process, ours: socket.socket) -> bytes | None:
        """Hand the attempt over and wait for its finish; None where the process ends without one.

        Our end of the socket stays open for as long as we live, which is how the process knows that we do.
        """
        reader, writer = await asyncio.open_connection(sock=ours)
        answer = asyncio.create_task(_answer_from(reader))
        died = asyncio.create_task(process.wait())
        try:
            with contextlib.suppress(OSError):
                writer.write(framed(STARTED.dump_json(self.started)))
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
        """Kill what its own timeout has not ended in there: its loop is blocked, or its interpreter stuck."""
        self._timed_out = True
        self.give_up()

    def _died(self, fate: int) -> Finish:
        how = f"by signal {-fate}" if fate < 0 else f"with exit code {fate}"
        if self._stop_as is not None:
            ended = verdict.of_stop(self._stop_as)
        elif self._timed_out:
            ended = verdict.of_timeout(
                timedelta(seconds=self.timeout_s - _MARGIN_S), verdict.Blocked(self.timeout_s, by_itself=True)
            )
        elif fate == -signal.SIGTERM:  # whoever stops the worker may tell all of its processes
            ended = verdict.of_stop(Outcome.INTERRUPTED)
        else:
            what = f"The process that ran this job alone ended {how}."
            ended = verdict.of_crash(what, self.started.crashes + 1, self._settings.max_crashes)
        return self._finish(ended)

    def _finish(self, ended: Verdict) -> Finish:
        return verdict.finish_of(self.started, ended, self._kind.retry, agreed_time.now())


async def _answer_from(reader: asyncio.StreamReader) -> bytes | None:
    try:
        length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        return None
