"""A program as a child process: in a session of its own, tethered to this process, and ended by its id."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TETHER = Path(__file__).with_name("tether.py")
_LOG_LINES_SHOWN = 8
# Before a reload, short jobs finish; the others are handed back.
_RELOAD_GRACE_S = 1.0


@dataclass(frozen=True)
class Program:
    """A command to keep running or, with `once`, to run to its end before the next program starts.

    `stop_timeout_s` is the time that it has to end after SIGTERM. If `ready` is given, it must come true before the
    next program starts. `log` takes the output instead of the screen; if the program cannot start, its end is shown
    with `advice`. `sockets` are removed when the program has stopped. With `reloads`, it restarts when kinds change.
    With `hands_back`, a second SIGTERM makes it hand back its running jobs at once.
    """

    name: str
    argv: Sequence[str]
    stop_timeout_s: float = 10.0
    once: bool = False
    ready: Callable[[], Awaitable[bool]] | None = None
    log: Path | None = None
    advice: str = ""
    sockets: tuple[Path, ...] = ()
    reloads: bool = False
    hands_back: bool = False


class Child:
    """A started program."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process):
        self.program = program
        self._process = process
        self._started = time.monotonic()
        self.was_told_to_stop = False

    @classmethod
    async def start(cls, program: Program, env: Mapping[str, str]) -> "Child":
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(program.log.open("ab")) if program.log else None
            process = await asyncio.create_subprocess_exec(
                *_tethered(program.argv),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C in the terminal reaches the supervisor alone, which stops its children in order.
                start_new_session=True,
            )
        return cls(program, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lived_s(self) -> float:
        return time.monotonic() - self._started

    async def wait(self) -> int:
        return await self._process.wait()

    def fate(self) -> str:
        """Say whether it runs, or how it ended."""
        return _fate(self._process.returncode)

    def last_words(self) -> str:
        """Return the end of its log, if it has one, as lines to print below a message."""
        if self.program.log is None:
            return ""
        lines = self.program.log.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        end = [f"The end of {self.program.log}:", *(f"  {line}" for line in lines)]
        return "\n".join(filter(None, [*end, self.program.advice]))

    async def stop_soon(self, hurry: asyncio.Event) -> None:
        """End it as `stop` does, but do not wait for jobs that it can hand back."""
        stopping = asyncio.ensure_future(self.stop(hurry))
        await asyncio.wait({stopping}, timeout=_RELOAD_GRACE_S)
        if self.program.hands_back and not stopping.done():
            self._terminate()
        await stopping

    async def stop(self, hurry: asyncio.Event) -> bool:
        """End it with SIGTERM, or SIGKILL once its time is up or `hurry` is set. Return whether SIGTERM sufficed."""
        gone = asyncio.ensure_future(self._process.wait())
        in_a_hurry = asyncio.ensure_future(hurry.wait())
        self._terminate()
        await asyncio.wait({gone, in_a_hurry}, timeout=self.program.stop_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        in_a_hurry.cancel()
        if obeyed := gone.done():
            await gone
        else:
            self._kill()
            await gone
        for socket in self.program.sockets:
            socket.unlink(missing_ok=True)
        return obeyed

    def _terminate(self) -> None:
        self.was_told_to_stop = True
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def _kill(self) -> None:
        # The session's leader is not reaped yet, so the group still contains only what this child has started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _tethered(argv: Sequence[str]) -> Sequence[str]:
    if sys.platform != "linux":
        return argv
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *argv]


def _fate(returncode: int | None) -> str:
    if returncode is None:
        return "runs"
    if returncode < 0:
        return f"was killed by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"
