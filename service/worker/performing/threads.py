"""The threads of `ctx.thread` and of asyncio's own calls: a thread that hangs is replaced, counted and named."""

import contextvars
import functools
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog

from service import logs
from service.performing import performing

log = structlog.get_logger(__name__)

# Threads for asyncio's own calls, beside the attempts' threads: name look-ups, and whatever libraries ask for.
_FOR_LIBRARIES = 32
_LONGEST_NAME = 200


class Call(Future[Any]):
    """A call in a thread.

    asyncio cancels it once nobody waits for it; a call that is still running then counts as hung.
    """

    def __init__(self, function: Callable[[], Any], on_abandoned: Callable[["Call"], None]) -> None:
        super().__init__()
        self.attempt = performing.get()
        self.thread: int | None = None
        self.hangs = False
        self.is_over = False
        self.counts = not _is_lookup(function)  # counted among the hung calls
        self._function = function
        self._on_abandoned = on_abandoned

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if not cancelled and self.running():
            self._on_abandoned(self)
        return cancelled

    def run(self) -> None:
        """Call the function in the current thread."""
        if not self.set_running_or_notify_cancel():
            return
        self.thread = threading.get_ident()
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised in the caller that waits
            self.set_exception(_raisable(error))
        else:
            self.set_result(result)

    def is_of(self, job_id: str, attempt: int) -> bool:
        return self.attempt is not None and (self.attempt.job_id, self.attempt.attempt) == (job_id, attempt)

    @property
    def names(self) -> dict[str, Any]:
        """Name the attempt and the function, for the log."""
        names = {} if self.attempt is None else self.attempt.names
        return {**names, "function": _name_of(self._function)}


class JobThreads(ThreadPoolExecutor):
    """Threads for `count` calls of attempts at once, and for some calls of libraries. Hung calls take no room.

    `on_full` is called on the loop when `count` calls hang. Name look-ups do not count: they end by themselves, and
    while the name servers are silent, every attempt to connect leaves one behind. The threads are daemons, so none
    keeps the process from ending. asyncio takes only a `ThreadPoolExecutor` as its default; its own threads are unused.
    """

    def __init__(self, count: int) -> None:
        super().__init__(max_workers=1)
        self.on_full: Callable[[], None] | None = None
        self._count = count
        self._news = threading.Condition()
        self._calls: deque[Call] = deque()
        self._running: set[Call] = set()
        self._healthy = self._idle = 0
        self._retired = False
        self.hung = 0

    @property
    def is_full(self) -> bool:
        return self.hung >= self._count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        call = Call(functools.partial(fn, *args, **kwargs), self._abandon)
        with self._news:
            self._calls.append(call)
            self._have_served()
        return call

    def leave(self, job_id: str, attempt: int) -> None:
        """Note that an attempt is over, so that nobody waits for its running calls any more."""
        if self._running:
            with self._news:
                left = [call for call in self._running if call.is_of(job_id, attempt)]
            for call in left:
                self._abandon(call)

    def of_attempt(self, job_id: str, attempt: int) -> list[int]:
        """Return the threads that run calls of an attempt."""
        with self._news:
            calls = [call for call in self._running if call.is_of(job_id, attempt)]
        return [call.thread for call in calls if call.thread is not None]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let idle threads end, without waiting: a running call may hang. Later calls are still served."""
        with self._news:
            self._retired = True
            self._news.notify_all()

    def _have_served(self) -> None:
        """Make sure that some thread takes the latest call."""
        if self._idle >= len(self._calls):
            self._news.notify()
        elif self._healthy < self._count + _FOR_LIBRARIES:
            self._healthy += 1
            try:
                threading.Thread(target=self._work, name="job", daemon=True).start()
            except RuntimeError:  # the system has no thread left: one of ours will take the call
                self._healthy -= 1
                if self._healthy == 0:
                    self._calls.pop()
                    raise

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.run()
            if self._is_replaced_after(call):
                return
            del call

    def _next(self) -> Call | None:
        with self._news:
            self._idle += 1
            self._news.wait_for(lambda: self._calls or self._retired)
            self._idle -= 1
            if not self._calls:
                self._healthy -= 1
                return None
            call = self._calls.popleft()
            self._running.add(call)
            return call

    def _is_replaced_after(self, call: Call) -> bool:
        with self._news:
            call.is_over = True
            self._running.discard(call)
            self.hung -= call.hangs and call.counts
        if call.hangs and call.counts:
            logs.surely(log.info, "hung_thread_returned", hung=self.hung, **call.names)
        return call.hangs

    def _abandon(self, call: Call) -> None:
        with self._news:
            if call.is_over or call.hangs:
                return
            call.hangs = True
            self.hung += call.counts
            self._healthy -= 1
            if self._calls:
                self._have_served()
        if not call.counts:
            return
        remedy = "give what it calls a timeout of its own"
        reason = "nobody waits for it any more, but it goes on running: a thread cannot be stopped"
        logs.surely(log.warning, "thread_hangs", hung=self.hung, reason=reason, remedy=remedy, **call.names)
        if self.is_full and self.on_full is not None:
            self.on_full()


def _raisable(error: BaseException) -> BaseException:
    """Return an error to raise in a coroutine: `StopIteration` would hang it, or end it as if it had returned."""
    if not issubclass(type(error), StopIteration):
        return error
    wrapped = RuntimeError("the function raised StopIteration in its thread")
    wrapped.__cause__ = error
    return wrapped


def _is_lookup(function: Any) -> bool:
    """Whether asyncio calls this function to look up a name, before it connects."""
    called = function.func if type(function) is functools.partial else function
    return called is socket.getaddrinfo or called is socket.getnameinfo


def _name_of(function: Any) -> str:
    """Name the function that a kind wants called, inside our wrappers and those of `asyncio.to_thread`."""
    while type(function) is functools.partial:
        is_in_context = isinstance(getattr(function.func, "__self__", None), contextvars.Context) and function.args
        function = function.args[0] if is_in_context else function.func
    try:
        return f"{function.__module__}.{function.__qualname__}"[:_LONGEST_NAME]
    except Exception:  # noqa: BLE001 - a callable may be any object
        return type.__dict__["__name__"].__get__(type(function))[:_LONGEST_NAME]  # type: ignore[no-any-return]
