"""Ends the process although something hangs: a thread, a server, or a loop that a kind blocks."""

import _thread
import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

# How long threads that a kind has left behind have to end by themselves.
_THREADS_WAIT_S = 1.0


def exit_in(seconds: float, status: int = 1) -> None:
    """End the process in `seconds`, unless it has ended by then."""
    timer = threading.Timer(seconds, _exit, [status])
    timer.daemon = True
    timer.start()


def exit_after_signal(seconds: float, status: Callable[[], int]) -> None:
    """End the process in `seconds`. For signal handlers: what they interrupt may hold the locks of `threading`."""
    _thread.start_new_thread(_exit_after, (seconds, status))


def exit_without_threads(status: int) -> None:
    """Make sure that the process ends even if a kind has left threads behind that Python would wait for."""
    left = [one.name for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
    if left:
        log.warning("threads_left", threads=left, reason="they are not waited for")
        exit_in(_THREADS_WAIT_S, status)


def _exit_after(seconds: float, status: Callable[[], int]) -> None:
    time.sleep(seconds)
    _exit(status())


def _exit(status: int) -> None:
    try:
        log.error("worker_exit_forced", reason="something hangs; what it ran is rescued by other workers")
    finally:
        os._exit(status)
