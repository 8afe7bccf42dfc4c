"""Kinds that run in child processes, and do everything there that a kind may do."""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, Discard, Retry, Snooze, job
from jobs.kit.thread_context import ThreadContext


class Nothing(BaseModel):
    pass


class Text(BaseModel):
    text: str = ""


class How(BaseModel):
    how: str
    path: str = ""


class Number(BaseModel):
    number: int = 0


@job("process_pid", runs="process")
def tell_pid(ctx: Context, args: Nothing) -> int:
    """Tell in which process it runs."""
    return os.getpid()


@job("process_echo", runs="process")
def echo(ctx: Context, args: Text) -> str:
    """Return what it is given."""
    return args.text


@job("process_double", runs="process")
async def double(ctx: Context, args: Number) -> int:
    """Use all that a context has in a process, awaited."""
    await ctx.progress(1, 2)
    doubled = await ctx.step("double", lambda: args.number * 2)
    await ctx.checkpoint({"doubled": doubled})
    ctx.log.warning("doubling", doubled=doubled)
    print(f"doubled {doubled}")  # noqa: T201
    await ctx.enqueue("process_echo", Text(text=str(doubled)), tags=["doubled"])
    await ctx.progress(2, 2)
    return doubled


@job("process_raise", runs="process", max_attempts=1)
def fail(ctx: Context, args: How) -> None:
    """Raise what a kind may raise."""
    match args.how:
        case "error":
            raise ValueError("no good")
        case "retry":
            raise Retry("later", after=3600)
        case "snooze":
            raise Snooze(after=3600)
        case "discard":
            raise Discard("never")
        case "exit":
            sys.exit(3)
        case "unpicklable":
            raise _Odd(lambda: None)


class _Odd(Exception):
    """An exception that cannot be pickled."""

    def __init__(self, what: Any) -> None:
        super().__init__("odd")
        self.what = what


@job("process_die", runs="process", max_attempts=1)
def die(ctx: Context, args: How) -> str:
    """End the process, or damage it, in a way that Python does not notice."""
    match args.how:
        case "exit":
            os._exit(7)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "garbage":
            for fd in _sockets():
                os.write(fd, b"\xff" * 64)
            time.sleep(600)
        case "pickle":
            for fd in _sockets():
                os.write(fd, (5).to_bytes(8, "big") + b"hello")
            time.sleep(600)
        case "close":
            os.closerange(3, 256)
    return "still here"


def _sockets() -> list[int]:
    """Find the link: the first socket that a message may be written to."""
    fds = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
    return [int(fd.name) for fd in fds if str(fd.readlink()).startswith("socket:")]


@job("process_hang", runs="process", timeout=600, max_attempts=1)
def hang(ctx: Context, args: How) -> None:
    """Write its pids to a file, and hang; in C and with the interpreter's lock, or with a process of its own."""
    child = subprocess.Popen(["sleep", "600"])
    path = Path(args.path)
    path.with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
    path.with_suffix(".part").rename(path)
    match args.how:
        case "in C":
            ctypes.PyDLL(None).sleep(600)
        case _:
            time.sleep(600)


@job("process_hang_once", runs="process", timeout=600)
async def hang_in_a_loop(ctx: Context, args: How) -> None:
    """Hang in a loop, and ignore cancellations."""
    Path(args.path).write_text(str(os.getpid()))
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


@job("process_leave", runs="process")
def leave(ctx: Context, args: How) -> int:
    """Leave something behind, and return."""
    match args.how:
        case "fork":
            if os.fork() == 0:
                return 0  # the copy returns, too
        case "thread":
            threading.Thread(target=time.sleep, args=(600,)).start()
        case "process":
            subprocess.Popen(["sleep", "600"])
        case "daemon":
            subprocess.Popen(["sleep", "20"], start_new_session=True)  # outlives the test
    return os.getpid()


@job("process_leave_task", runs="process")
async def leave_task(ctx: Context, args: Nothing) -> int:
    """Leave a task on the loop."""
    task = asyncio.create_task(asyncio.sleep(600))
    task.add_done_callback(lambda _: None)
    return os.getpid()


@job("process_result", runs="process", max_attempts=1)
def give(ctx: Context, args: How) -> Any:
    """Return what can be kept, and what cannot."""
    match args.how:
        case "large":
            return "x" * 200_000
        case "too large":
            return "x" * 400_000
        case "no JSON":
            return object()
    return None


@job("process_memory", runs="process", memory_mb=200, max_attempts=1)
def use_memory(ctx: Context, args: Number) -> int:
    """Use so many megabytes; return them."""
    held = [bytearray(1024 * 1024) for _ in range(args.number)]
    return len(held)


_kept: list[bytearray] = []


@job("process_leak", runs="process")
def leak(ctx: Context, args: Number) -> int:
    """Keep so many megabytes for ever."""
    _kept.append(bytearray(b"x") * (args.number * 1024 * 1024))
    return os.getpid()


@job("process_log", runs="process")
def log(ctx: Context, args: Nothing) -> None:
    """Log by the standard library, which knows nothing of jobs."""
    logging.getLogger("a.library").warning("said in a process")


@job("process_talk", runs="process", timeout=600, max_attempts=1)
def talk(ctx: Context, args: How) -> None:
    """Log, and wait where somebody may look for it."""
    ctx.log.warning("talking", token="t0ken-that-nobody-sees")
    _stand_here()


def _stand_here() -> None:
    time.sleep(600)


@job("process_talk_in_a_loop", runs="process", timeout=600, max_attempts=1)
async def talk_in_a_loop(ctx: Context, args: How) -> None:
    """The same in a loop."""
    ctx.log.warning("talking in a loop")
    await _wait_here()


async def _wait_here() -> None:
    await asyncio.sleep(600)


@job("process_absent", runs="process", max_attempts=1)
async def use_http(ctx: Context, args: Nothing) -> None:
    """Ask for what only the worker has."""
    await ctx.http.get("http://127.0.0.1/")


@job("process_quick_neighbour")
async def neighbour(ctx: Context, args: Nothing) -> None:
    """Run in the worker."""


@job("process_blocking", runs="process")
def count(ctx: ThreadContext, number: int) -> dict[str, Any]:
    """Use all that a context has in a process, by calls that return when it is done."""
    ctx.progress(1, 2)
    doubled = ctx.step("double", lambda: number * 2)
    ctx.checkpoint(doubled)
    ctx.log.warning("counting", doubled=doubled)
    child = ctx.enqueue("process_echo", {"text": str(doubled)})
    with pytest.raises(Exception, match="no kind") as refused:
        ctx.enqueue("process_nobody")
    return {"child": child, "refused": type(refused.value).__name__, "restored": ctx.restored}


@job("process_wait", runs="process", timeout=60)
def wait_for(ctx: Context, args: How) -> None:
    """Write its pid to the file `how`, and return once there is the file `path`."""
    Path(args.how).write_text(str(os.getpid()))
    while not Path(args.path).exists():
        time.sleep(0.01)


@job("process_copy", runs="process")
def stop_copies(ctx: Context, args: Nothing) -> list[int]:
    """Fork, and end each copy at once, like users of `multiprocessing`; return their statuses, each once.

    A thread that keeps the interpreter busy gives the signal time to come before the copy has done anything.
    """
    over = threading.Event()
    busy = threading.Thread(target=lambda: [sum(range(1_000)) for _ in iter(over.is_set, True)], daemon=True)
    busy.start()
    statuses = {_status_of_a_stopped_copy() for _ in range(10)}
    over.set()
    return sorted(statuses)


def _status_of_a_stopped_copy() -> int:
    copy = os.fork()
    if copy == 0:
        time.sleep(2)
        os._exit(0)
    os.kill(copy, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])


@job("process_late", runs="process")
def speak_late(ctx: ThreadContext, path: str) -> int:
    """Leave a thread behind that acts in the name of this attempt after its end."""

    def speak() -> None:
        while not Path(path).exists():
            time.sleep(0.01)
        try:
            ctx.progress(7)
        except BaseException as error:  # noqa: BLE001 - told to the test
            Path(path).write_text(type(error).__name__)

    threading.Thread(target=speak, daemon=True).start()
    return os.getpid()


@job("process_oom_score", runs="process")
def oom_score() -> int:
    """Tell how likely the kernel is to kill it."""
    return int(Path("/proc/self/oom_score_adj").read_text())
