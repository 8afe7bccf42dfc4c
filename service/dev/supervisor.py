"""Keeps programs running in the foreground: starts them in order, restarts them, stops them in reverse order."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from service.dev.child import Child, Program
from service.dev.screen import say
from service.errors import StartRefused

_POLL_S = 0.05
_PROGRAM_READY_S = 60.0
_SLOW_START_S = 30.0
# One Ctrl-C or `kill` of a process group can arrive twice: once directly, and once passed on by `make`.
_SAME_SIGNAL_S = 0.5


class Backoff:
    """The waits before restarts: each twice the last, and short again after a child that lived long enough."""

    def __init__(self, first_s: float = 0.5, longest_s: float = 10.0, reset_after_s: float = 30.0):
        self._first_s, self._longest_s, self._reset_after_s = first_s, longest_s, reset_after_s
        self._next_s = first_s

    def after(self, lived_s: float) -> float:
        """Return the wait after a child that lived for `lived_s`."""
        if lived_s >= self._reset_after_s:
            self._next_s = self._first_s
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return wait_s


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP: the first asks for an orderly stop, the second for a quick one."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self._first_at = 0.0

    @contextlib.contextmanager
    def listen(self) -> Iterator["StopSignals"]:
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._receive)
        try:
            yield self
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _receive(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self.first.is_set():
            self._first_at = now
            self.first.set()
        elif now - self._first_at > _SAME_SIGNAL_S:
            self.second.set()


class Supervisor:
    """Runs `programs` until a signal. Everything is ready once `is_ready` comes true; no program may die before."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        env: Mapping[str, str],
        is_ready: Callable[[], Awaitable[bool]],
        on_ready: Callable[[], None] = lambda: None,
    ):
        self._programs = programs
        self._env = env
        self._is_ready = is_ready
        self._on_ready = on_ready
        self._ready = asyncio.Event()
        self._reloading = asyncio.Event()
        self._children: dict[str, Child] = {}
        self._signals = StopSignals()

    async def run(self) -> None:
        """Run until a signal has stopped all. Raises `StartRefused` if a program dies before all are ready."""
        with self._signals.listen() as signals:
            work = asyncio.create_task(self._start_and_keep())
            stop = asyncio.create_task(signals.first.wait())
            try:
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                work.cancel()
                stop.cancel()
                await asyncio.wait({work})
                await self._stop_all(signals)
        if not work.cancelled():
            _raise_first(work)

    async def until_ready(self) -> None:
        """Wait until all programs have been ready once."""
        await self._ready.wait()

    async def reload(self) -> None:
        """Restart the programs that reload, all at once. A program that waits for its restart starts now."""
        self._reloading.set()
        self._reloading = asyncio.Event()
        reloaded = [child for child in self._children.values() if child.program.reloads]
        await asyncio.gather(*(child.stop_soon(self._signals.second) for child in reloaded))

    async def _start_and_keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            for program in self._programs:
                child = await self._start(program)
                if program.once:
                    await self._finish(child)
                else:
                    group.create_task(self._keep(child))
                    await self._wait_for(program)
            await self._wait_for_all()

    async def _start(self, program: Program) -> Child:
        child = await Child.start(program, self._env)
        self._children[program.name] = child
        return child

    async def _finish(self, child: Child) -> None:
        if await child.wait() != 0:
            raise _died_early(child)
        del self._children[child.program.name]

    async def _keep(self, child: Child) -> None:
        backoff = Backoff()
        while True:
            await child.wait()
            if not self._ready.is_set():
                raise _died_early(child)
            if not child.was_told_to_stop:
                wait_s = backoff.after(child.lived_s)
                say(f"{child.program.name} (pid {child.pid}) {child.fate()}; restarting it in {wait_s:g} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._reloading.wait(), wait_s)
            child = await self._start(child.program)

    async def _wait_for(self, program: Program) -> None:
        if program.ready is None:
            return
        try:
            async with asyncio.timeout(_PROGRAM_READY_S):
                await _until(program.ready)
        except TimeoutError:
            last_words = self._children[program.name].last_words()
            raise StartRefused(f"{program.name} did not answer within {_PROGRAM_READY_S:g} s. {last_words}") from None

    async def _wait_for_all(self) -> None:
        loop = asyncio.get_running_loop()
        slow = loop.call_later(_SLOW_START_S, say, f"not ready after {_SLOW_START_S:g} s; still waiting")
        try:
            await _until(self._is_ready)
        finally:
            slow.cancel()
        self._on_ready()
        self._ready.set()
        say("ready for jobs")

    async def _stop_all(self, signals: StopSignals) -> None:
        if self._children:
            say("stopping; once more to stop at once" if signals.first.is_set() else "stopping")
        for child in reversed(self._children.values()):
            if not await child.stop(signals.second):
                say(f"{child.program.name} (pid {child.pid}) did not end in time and was killed")


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    while not await condition():  # noqa: ASYNC110 - the condition is another process, which sets no event of ours
        await asyncio.sleep(_POLL_S)


def _died_early(child: Child) -> StartRefused:
    when = "" if child.program.once else " before everything was ready"
    return StartRefused(
        f"{child.program.name} {child.fate()}{when}. {child.last_words() or 'Its own words are above.'}"
    )


def _raise_first(work: asyncio.Task[None]) -> None:
    try:
        work.result()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
