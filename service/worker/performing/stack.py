"""The stack of an attempt: the frames of its coroutine, its threads or its child process. No variables."""

import asyncio
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from itertools import dropwhile
from pathlib import Path
from types import FrameType
from typing import Any

import jobs.kit
from service.worker.performing.failure import cleaned

_MOST_FRAMES = 60
_MOST_TASKS = 10
# Precedes what a child writes about its tasks.
OF_TASKS = "\nTasks:\n"
_LONGEST = 16_000
# As `faulthandler` writes them, innermost first.
_DUMPED = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<name>.*)$')


def of_task(task: asyncio.Task[Any]) -> list[str]:
    """Return the frames of what a task awaits, outermost first, including those of tasks that it waits for."""
    awaited: Any = task
    lines: list[str] = []
    while isinstance(awaited, asyncio.Task) and len(lines) < _MOST_FRAMES:
        lines += _written(_without_ours(list(_frames_of(awaited.get_coro()))))
        awaited = getattr(awaited, "_fut_waiter", None)
    return lines


def of_loop(main: str) -> list[str]:
    """Return the frames of all tasks of the running loop, starting with our own coroutine `main`."""
    tasks = asyncio.all_tasks()
    mains = [task for task in tasks if getattr(task.get_coro(), "__name__", "") == main]
    others = [task for task in tasks if task not in mains][:_MOST_TASKS]
    lines = [line for task in mains for line in of_task(task)]
    for task in others:
        lines += ["In a task:\n", *of_task(task)]
    return lines


def of_thread(ident: int) -> list[str]:
    """Return the frames of a thread, outermost first.

    For a thread with a loop, these are the frames of its current task.
    """
    frame = sys._current_frames().get(ident)  # noqa: SLF001 - the documented way to another thread's stack
    frames = [] if frame is None else list(traceback.walk_stack(frame))[::-1]
    turns = [at for at, (one, _) in enumerate(frames) if one.f_code is _TURN_OF_LOOP]
    return _written(_without_ours(frames[turns[-1] + 1 :] if turns else frames))


def of_dump(dumped: str) -> list[str]:
    """Read what a child wrote: the frames of its tasks or, without a loop, of its main thread, which comes last."""
    dumped, _, of_tasks = dumped.partition(OF_TASKS)
    if of_tasks:
        return of_tasks.splitlines(keepends=True)
    lines: list[str] = []
    for thread in reversed(dumped.split("\n\n")):
        found = [_DUMPED.match(line) for line in thread.splitlines()]
        frames = [traceback.FrameSummary(one["file"], int(one["line"]), one["name"]) for one in reversed(found) if one]
        lines += traceback.StackSummary.from_list(frames[-_MOST_FRAMES:]).format()
        if lines:
            break
    return lines


def told(lines: Iterable[str]) -> str:
    """Write frames as one text."""
    return cleaned("".join(lines)[-_LONGEST:]) or "It cannot be told where it stands.\n"


Frame = tuple[FrameType, int]
_TURN_OF_LOOP = asyncio.Handle._run.__code__  # noqa: SLF001 - the one place that all callbacks pass


def _frames_of(awaited: Any) -> Iterator[Frame]:
    for _ in range(_MOST_FRAMES):
        for frame_name, next_name in _CHAINS:
            frame = getattr(awaited, frame_name, None)
            if frame is not None:
                yield frame, frame.f_lineno
                awaited = getattr(awaited, next_name, None)
                break
        else:
            return


# For a coroutine, a generator and an asynchronous generator: where it is, and what it awaits.
_CHAINS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def _without_ours(frames: list[Frame]) -> list[Frame]:
    """Leave out the frames that lead to the author's function: ours, and Python's that begin a thread."""
    return list(dropwhile(lambda one: one[0].f_code.co_filename.startswith(_OURS), frames)) or frames


_OURS = tuple(
    str(folder)
    for folder in (
        Path(__file__).parent,
        Path(jobs.kit.__file__).parent,
        Path(asyncio.__file__).parent,
        Path(threading.__file__),
    )
)


def _written(frames: Iterable[Frame]) -> list[str]:
    return traceback.StackSummary.extract(frames, limit=_MOST_FRAMES, lookup_lines=True, capture_locals=False).format()
