"""Tells the API at once that its process is stopping: uvicorn tells it only when every open answer has ended."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType


def on_stop_signal(call: Callable[[], None]) -> None:
    """Call `call` in the running loop on SIGTERM and SIGINT, before the present handler.

    Meant to be used under uvicorn, which restores the former handlers when it ends. Does nothing outside the main
    thread, where there are no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if callable(before):
            signal.signal(number, _chained(loop, call, before))


def _chained(
    loop: asyncio.AbstractEventLoop, call: Callable[[], None], before: Callable[[int, FrameType | None], object]
) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)
        before(number, frame)

    return handle
