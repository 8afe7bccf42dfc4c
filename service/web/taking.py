"""Watches whether a peer reads its answer, which stays in our memory until then."""

import asyncio
from typing import ClassVar


class Taking:
    """Aborts a connection whose peer has read nothing for `within_s`."""

    within_s: ClassVar[float] = 30.0

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Watch until the whole answer is read. Call this only after the last write."""
        if self._timer is None:
            size = self._transport.get_write_buffer_size()
            self._timer = self._loop.call_later(self.within_s, self._check, size)

    def cancel(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, size_before: int) -> None:
        self._timer = None
        size = self._transport.get_write_buffer_size()
        if size >= size_before > 0:
            self._transport.abort()
        elif size:
            self.watch()
