"""What was enqueued since the test began, and which of it is held."""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from postlude.mode import Added, Mode, force
from postlude.recording import recorded_by
from postlude.testing.doubles import Doubles


class Enqueued(NamedTuple):
    """A background task, or a job of a client."""

    name: str
    """The function's module and name, such as `app.mail.send_welcome`; of a client's job, its kind."""
    arguments: dict[str, Any]
    """By the names of the function's parameters; of a client's job, its args."""
    id: str
    options: Mapping[str, Any]
    """The job's options, if a client sent it."""

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


class Held(NamedTuple):
    """A task that waits for `drain()`, and the loop of the request that added it."""

    task: Added
    loop: asyncio.AbstractEventLoop | None


class Watch:
    """Sees everything that is enqueued while it is open."""

    def __init__(self, mode: Mode, rootpath: Path) -> None:
        self.seen: list[Enqueued] = []
        self.held: deque[Held] = deque()
        self._mode = mode
        self._doubles = Doubles(rootpath)
        self._open = ExitStack()

    def open(self) -> None:
        """Set the mode. A test that sends, or that wants FastAPI's way, is not watched."""
        if self._mode in (Mode.INLINE, Mode.HELD):
            force(self._mode, self._see_task, self._doubles.stand_in)
            self._open.enter_context(recorded_by(self._see_job))
        else:
            force(self._mode)

    def close(self) -> None:
        self._open.close()
        force(Mode.INLINE)

    def _see_task(self, task: Added) -> None:
        self.seen.append(Enqueued(task.function, task.arguments, task.id, {}))
        if self._mode is Mode.HELD:
            self.held.append(Held(task, _running_loop()))

    def _see_job(self, kind: str, args: Any, options: Mapping[str, Any]) -> None:
        self.seen.append(Enqueued(kind, dict(args), str(options.get("id", "")), options))


class _Watching:
    """The watch of the test that runs."""

    watch: Watch | None = None


def watch_test(mode: Mode, rootpath: Path) -> None:
    """Forget the test before, and watch this one."""
    stop_watching()
    _Watching.watch = Watch(mode, rootpath)
    _Watching.watch.open()


def stop_watching() -> None:
    if _Watching.watch is not None:
        _Watching.watch.close()
        _Watching.watch = None


def watch() -> Watch:
    if _Watching.watch is None:
        raise RuntimeError("No test is running under postlude-client's pytest plugin.")
    return _Watching.watch


def enqueued() -> list[Enqueued]:
    """Return what was enqueued since the test began, in order."""
    return list(watch().seen)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
