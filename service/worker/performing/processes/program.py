"""What a child process runs: attempts, one at a time, each in its main thread. See `child.py`."""

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import socket
import sys
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import jobs
from jobs import Catalogue, Kind
from jobs.kit.kind import is_async
from jobs.kit.thread_context import AttemptOver, ThreadContext
from service import agreed_time, logs
from service.performing import Performing, performing
from service.worker.performing import outcome, stack
from service.worker.performing.calling import KindExited, args_of, success_of
from service.worker.performing.failure import is_instance, leaves_of, line_of
from service.worker.performing.finish import finish_of
from service.worker.performing.log_keeping import LogKeeping
from service.worker.performing.outcome import AttemptOutcome
from service.worker.performing.processes import lifeline
from service.worker.performing.processes.child_context import Calls, context_in_child
from service.worker.performing.processes.link import Link
from service.worker.performing.processes.log_sender import LogSender
from service.worker.performing.processes.memory import Leaks, die_before_worker, limited
from service.worker.performing.processes.messages import Begun, Done, Handed, Ready, Setup
from service.worker.performing.redaction import mask_of

# How far apart clocks may seem because of the time that a message takes.
_ON_THE_WAY = timedelta(seconds=0.1)


def main(link_fd: int, lifeline_fd: int, dump_fd: int) -> None:
    worker, life = socket.socket(fileno=link_fd), socket.socket(fileno=lifeline_fd)
    for one in (worker, life):
        one.set_inheritable(False)
    os.set_inheritable(dump_fd, False)
    lifeline.tell_stack_when_asked(dump_fd, _told_tasks)
    lifeline.leave_signals_to_worker()
    lifeline.die_with(life)
    die_before_worker()
    link = Link(worker)
    setup = link.receive()
    assert isinstance(setup, Setup)
    logs.configure(setup.log_level, setup.log_format)
    try:
        catalogue = jobs.load(setup.jobs)
    except BaseException as error:
        link.send(Ready(line_of(error)))
        raise
    link.send(Ready())
    leaks = Leaks()
    keeping = LogKeeping(catalogue)
    sender = LogSender(keeping, link)
    with keeping.listening():
        while True:
            handed = link.next_attempt()
            link.send(Begun())
            done = perform(handed, catalogue, link, leaks)
            sender.send()
            link.end_attempt(done)


def perform(handed: Handed, catalogue: Catalogue, link: Link, leaks: Leaks) -> Done:
    """Perform an attempt, and judge how it ended. Whatever a kind raises is reported, and ends only the attempt."""
    started, at = handed.started, datetime.now(UTC)
    agreed_time.agree(handed.at - at, _ON_THE_WAY)
    kind = limited(catalogue[started.kind])
    mask = mask_of(kind, started.args)
    attempt = Performing(started.id, started.kind, started.attempt, started.args, mask=mask)
    performing.set(attempt)
    call = _Call(kind, handed, Calls(handed, link))
    ended = call.end()
    attempt.is_over = True
    finish = finish_of(started, ended, kind.retry, agreed_time.now())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # a kind may have replaced or closed them
            stream.flush()
    return Done(finish, worn=call.has_left_tasks or is_out_of_memory(ended) or leaks.found())


def is_out_of_memory(ended: AttemptOutcome) -> bool:
    return ended.error is not None and any(is_instance(one, MemoryError) for one in leaves_of(ended.error))


class _Call:
    """The call of a kind's function."""

    def __init__(self, kind: Kind[Any, Any], handed: Handed, calls: Calls) -> None:
        self._kind = kind
        self._started = handed.started
        self._calls = calls
        self._context = context_in_child(handed, kind, calls)
        self.has_left_tasks = False

    def end(self) -> AttemptOutcome:
        """Call it; return how that ended."""
        try:
            args = args_of(self._started, self._kind)
            value = self._in_a_loop(args) if is_async(self._kind.function) else self._here(args)
            return success_of(self._kind, value)
        except (SystemExit, KeyboardInterrupt) as error:
            exited = KindExited(f"the kind raised {line_of(error)}")
            exited.__cause__ = error
            return outcome.of_error(exited)
        except BaseException as error:  # noqa: BLE001 - whatever was raised, the attempt has failed
            return outcome.of_error(error)

    def _here(self, args: Any) -> Any:
        """Call a `def` in this thread.

        Coroutines that it runs, other than calls of the context, run on a loop in another thread.
        """
        context = ThreadContext.over(self._context, _run_beside, self._calls.run_here)
        return self._kind.invoke(context, args)

    def _in_a_loop(self, args: Any) -> Any:
        """Await an `async def` in a loop of its own. Whatever it leaves on the loop ends with this process."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            value, error = loop.run_until_complete(self.settled(args))
            self.has_left_tasks = bool(asyncio.all_tasks(loop))
        except BaseException:
            self.has_left_tasks = True
            raise
        finally:
            asyncio.set_event_loop(None)
        if not self.has_left_tasks:
            loop.close()
        if error is not None:
            raise error
        return value

    async def settled(self, args: Any) -> tuple[Any, BaseException | None]:
        """Await the kind within the loop: its traceback is free of asyncio, and an exit does not end the loop."""
        try:
            return await self._kind.invoke(self._context, args), None
        except BaseException as error:  # noqa: BLE001 - raised again outside
            return None, error
        finally:
            await self._calls.settled()


def _told_tasks() -> str:
    """Write the stacks of the tasks on this thread's loop; '' while no loop runs."""
    with contextlib.suppress(RuntimeError):
        return stack.OF_TASKS + "".join(stack.of_loop(main=_Call.settled.__name__))
    return ""


def _run_beside(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return _loop_beside().run(coroutine)


@functools.cache
def _loop_beside() -> "_LoopThread":
    return _LoopThread()


class _LoopThread:
    """A loop in a thread of its own, for as long as the process lives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="context", daemon=True).start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine there; return its result. Raises what it raises, and `AttemptOver`."""
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except concurrent.futures.CancelledError:
            raise AttemptOver("the attempt was taken away") from None
