"""A thread that makes the calls of event loops, one at a time.

`run_in_executor` makes a second future for each call and chains the two, which short transactions feel.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Functions, with the futures of those who wait for them; None ends the thread.
_Calls = SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None]


class CallThread:
    """Begins with the first call, and ends once it is told to or forgotten. It keeps no process from ending."""

    def __init__(self, name: str) -> None:
        self._calls: _Calls = SimpleQueue()
        self._thread = threading.Thread(target=_make_all, args=(self._calls,), name=name, daemon=True)
        self._has_ended = False
        weakref.finalize(self, self._calls.put, None)

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """Call `function` after the calls that wait already, unless nobody waits for it by then.

        A call that has begun goes on though its caller no longer waits, unless the process ends.
        """
        if self._has_ended:
            raise RuntimeError(f"the thread {self._thread.name} has ended")
        if self._thread.ident is None:
            self._thread.start()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((function, done))
        return done

    def end(self) -> None:
        """End the thread after the calls that wait already. It takes no more."""
        self._has_ended = True
        self._calls.put(None)


def _make_all(calls: _Calls) -> None:
    while (call := calls.get()) is not None:
        _make(*call)
        del call  # it would live until the next one


def _make(function: Callable[[], Any], done: asyncio.Future[Any]) -> None:
    if done.cancelled():
        return
    loop = done.get_loop()
    try:
        tell = partial(_tell, done, function())
    except StopIteration as error:  # no future takes it
        stopped = RuntimeError("the call raised StopIteration")
        stopped.__cause__ = error
        tell = partial(_fail, done, stopped)
        del stopped
    except BaseException as error:  # noqa: BLE001 - raised in the caller that waits
        tell = partial(_fail, done, error)
    del done  # an error holds this frame
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(tell)
    del tell


def _tell(done: asyncio.Future[Any], result: Any) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
