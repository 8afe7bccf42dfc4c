"""Attempts of suspects: jobs that have crashed before run in a process of their own, and take nobody with them."""

import asyncio
import contextlib
import os
import sys
from typing import Any

import structlog
from pydantic import TypeAdapter

from jobs import Kind
from service import agreed_time
from service.ledger.models import Finish, Started
from service.ledger.states import Outcome
from service.settings import Settings
from service.worker import verdict
from service.worker.attempt import STOP_WAIT_S, OnEnd, timeout_of
from service.worker.verdict import Verdict

log = structlog.get_logger(__name__)

STARTED: TypeAdapter[Started] = TypeAdapter(Started)
FINISH: TypeAdapter[Finish] = TypeAdapter(Finish)
# Beyond its timeout: for the interpreter to start, and for the attempt to be given up in there.
_MARGIN_S = 20.0


def suspected_from(max_crashes: int) -> int:
    """Say how many crashes make a suspect: one fewer than end a job, so that no neighbour of a crash ends with it."""
    return max(1, max_crashes - 1)


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
        self._killer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Have the attempt performed; a process that dies over it has crashed."""
        log.warning("suspect_runs_apart", job_id=self.started.id, kind=self.started.kind, crashes=self.started.crashes)
        self._task = asyncio.create_task(self._run(), name=f"apart-{self.started.id}")
        self._task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[Finish]) -> None:
        error = task.exception()
        self._on_end(self.started, task.result() if error is None else self._finish(verdict.of_error(error)))

    async def _run(self) -> Finish:
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.worker.alone",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | self._settings.environment(),
            start_new_session=True,  # Ctrl-C is for this process, which hands the attempt back in order
        )
        self._kill_in(self.timeout_s)
        try:
            if self._stop_as is not None:
                self.stop(self._stop_as)
            said = await self._exchange(process)
            fate = await process.wait()
        finally:
            if self._killer is not None:
                self._killer.cancel()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        return FINISH.validate_json(said) if said else self._died(fate)

    def stop(self, outcome: Outcome) -> None:
        """Have the attempt cancelled; it ends as `outcome`."""
        self._stop_as = outcome
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._kill_in(STOP_WAIT_S)

    def give_up(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _exchange(self, process: asyncio.subprocess.Process) -> bytes:
        """Hand the attempt over and wait for its finish; our end of its stdin stays open for as long as we live."""
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(STARTED.dump_json(self.started) + b"\n")
            await process.stdin.drain()
        return await process.stdout.read()

    def _kill_in(self, seconds: float) -> None:
        if self._killer is not None:
            self._killer.cancel()
        self._killer = asyncio.get_running_loop().call_later(seconds, self.give_up)

    def _died(self, fate: int) -> Finish:
        how = f"by signal {-fate}" if fate < 0 else f"with exit code {fate}"
        if self._stop_as is not None:
            ended = verdict.of_stop(self._stop_as)
        else:
            what = f"The process that ran this job alone ended {how}."
            ended = verdict.of_crash(what, self.started.crashes + 1, self._settings.max_crashes)
        return self._finish(ended)

    def _finish(self, ended: Verdict) -> Finish:
        return verdict.finish_of(self.started, ended, self._kind.retry, agreed_time.now())
