"""Learns that the server is stopping as soon as it is told to.

Uvicorn tells an app only when all requests have ended. A running function is such a request, so an app that
waited for that would wait for all its functions.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Calls `stop` when the process is told to stop, before the server's own handler; a context manager."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop
        self._loop = asyncio.get_running_loop()
        self._servers: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):  # otherwise no server waits, and the process just ends
                self._servers[number] = handler
                signal.signal(number, self._handle)

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._servers.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop)
        self._servers[number](number, frame)
