"""One child process, as its worker sees it: warm, and busy with at most one attempt."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine
from typing import IO, Any, Self

from service.attempt_lines import KeptLines
from service.worker.performing.processes.lifeline import DUMP_SIGNAL
from service.worker.performing.processes.messages import (
    LENGTH_BYTES,
    Answer,
    Ask,
    Begun,
    Done,
    Handed,
    Message,
    NoMessage,
    Ready,
    Said,
    Setup,
    crossing,
    framed,
    length_of,
    read,
)

# With this process's path: by itself, Python would look first in the folder in which the worker was started, where a
# `service` may be somebody else's.
_BOOT = """
import sys
sys.path[:] = sys.argv[4:]
from service.heap import gc_put_off
with gc_put_off():
    from service.worker.performing.processes.program import main
main(*map(int, sys.argv[1:4]))
"""
_STARTS_WITHIN_S = 60.0
# A warm child takes an attempt within a millisecond; a stopped or swapped-out one takes longer.
_BEGINS_WITHIN_S = 10.0
# By then, everything that a dead child has sent has arrived.
_LAST_WORD_S = 1.0
# For Python's own cleanup at the end of a program.
_ENDS_WITHIN_S = 1.0
# For writing its stack.
_DUMPS_WITHIN_S = 0.4
_DUMP_LOOKS = 20
_LONGEST_DUMP = 256 * 1024
# A process that even SIGKILL does not end is waiting for a disk or a server within the kernel.
_DIES_WITHIN_S = 5.0

# Carries out a call of the context: its name, args and options.
Call = Callable[[Ask], Coroutine[Any, Any, Any]]


class ChildNotStarted(Exception):
    """A child process did not become ready."""


class NeverBegun(Exception):
    """A child was dead or stuck before it took the attempt that it was handed."""


class Child:
    """A child process. Made by `start`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        life: socket.socket,
        dump: IO[bytes],
    ) -> None:
        self.died = asyncio.create_task(process.wait())
        self.died.add_done_callback(self._hear_last_word)
        self.is_usable = True
        self.sent_nonsense = ""
        self._process = process
        self._reader = reader
        self._writer = writer
        self._life = life
        self._dump = dump

    @classmethod
    async def start(cls, setup: Setup) -> Self:
        """Start a process and have it load the kinds. Raises `ChildNotStarted`."""
        try:
            child = await cls._spawn()
        except OSError as error:
            raise ChildNotStarted(f"no process could be started: {error}") from error
        said: Message | None = None
        try:
            async with asyncio.timeout(_STARTS_WITHIN_S):
                said = await child.exchange(setup)
            if said == Ready():
                return child
            raise ChildNotStarted(said.refusal if isinstance(said, Ready) and said.refusal else await child.fate())
        except TimeoutError:
            raise ChildNotStarted(f"it was not ready after {_STARTS_WITHIN_S:g} s") from None
        finally:
            if said != Ready():
                await child.end(in_order=False)

    @classmethod
    async def _spawn(cls) -> Self:
        link, their_link = socket.socketpair()
        life, their_life = socket.socketpair()
        dump = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child ends
        reader, writer = await asyncio.open_connection(sock=link)
        fds = (their_link.fileno(), their_life.fileno(), dump.fileno())
        try:
            with their_link, their_life:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-c",
                    _BOOT,
                    *map(str, fds),
                    *sys.path,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=fds,
                    start_new_session=True,  # a group of its own, killed with everything that the kind has started
                )
        except BaseException:
            writer.close()
            life.close()
            dump.close()
            raise
        return cls(process, reader, writer, life, dump)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def perform(
        self, handed: Handed, call: Call, on_begun: Callable[[], None], hear: Callable[[KeptLines], None]
    ) -> Done | None:
        """Have an attempt performed; return None if the process ends before the attempt does. Raises `NeverBegun`."""
        try:
            async with asyncio.timeout(_BEGINS_WITHIN_S):
                said = await self.exchange(handed)
        except TimeoutError:
            said = None
        if not isinstance(said, Begun):
            self.kill()
            raise NeverBegun
        on_begun()
        answering: set[asyncio.Task[None]] = set()
        try:
            while isinstance(said := await self._next(), Ask | Said):
                if isinstance(said, Said):
                    hear(said.lines)
                    continue
                answering.add(task := asyncio.create_task(self._answer(said, call)))
                task.add_done_callback(answering.discard)
        finally:
            for task in answering:
                task.cancel()
        if isinstance(said, Done):
            self.is_usable = self.is_usable and not said.worn
            return said
        self.kill()
        return None

    async def stack(self) -> str:
        """Have the process write its stack, whatever it is busy with; '' if it does not."""
        self._dump.truncate(0)
        self._dump.seek(0)  # the child shares this position in the file
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self._process.send_signal(DUMP_SIGNAL)
        written = -1
        for _ in range(_DUMP_LOOKS):
            await asyncio.sleep(_DUMPS_WITHIN_S / _DUMP_LOOKS)
            before, written = written, os.fstat(self._dump.fileno()).st_size
            if 0 < written == before:
                break
        return os.pread(self._dump.fileno(), _LONGEST_DUMP, 0).decode(errors="replace")

    def kill(self) -> None:
        """Kill the process and its group. Safe to repeat."""
        self.is_usable = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def fate(self) -> str:
        """Say how the process has ended, within a bounded time."""
        await asyncio.wait({self.died}, timeout=_DIES_WITHIN_S)
        if not self.died.done():
            return "it does not end, although it was killed"
        code = self.died.result()
        if code >= 0:
            return f"it ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it was ended by signal {-code}"

    async def end(self, *, in_order: bool) -> None:
        """End the process: in order, if it has nothing to do, or else at once."""
        if in_order:
            self._writer.close()
            await asyncio.wait({self.died}, timeout=_ENDS_WITHIN_S)
        self.kill()
        self._writer.close()
        await asyncio.wait({self.died}, timeout=_DIES_WITHIN_S)
        self._life.close()
        self._dump.close()

    async def exchange(self, message: Message) -> Message | None:
        """Send a message, and wait for the next one; None once the process is dead, or has sent nonsense."""
        with contextlib.suppress(OSError):
            self._writer.write(framed(message))
            await self._writer.drain()
        return await self._next()

    async def _next(self) -> Message | None:
        try:
            head = await self._reader.readexactly(LENGTH_BYTES)
            return read(await self._reader.readexactly(length_of(head)))
        except NoMessage as error:
            self.sent_nonsense = str(error)
            return None
        except (asyncio.IncompleteReadError, OSError):
            return None

    def _hear_last_word(self, _died: asyncio.Task[int]) -> None:
        """Read only for a moment: a process that the child has left behind may hold the socket open for ever."""
        asyncio.get_running_loop().call_later(_LAST_WORD_S, self._writer.transport.abort)

    async def _answer(self, asked: Ask, call: Call) -> None:
        try:
            answer = Answer(asked.number, await call(asked))
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            answer = Answer(asked.number, error=error)  # the attempt was taken away
        except Exception as error:  # noqa: BLE001 - raised in the child
            answer = Answer(asked.number, error=crossing(error))
        with contextlib.suppress(OSError):
            self._writer.write(framed(answer))
            await self._writer.drain()
