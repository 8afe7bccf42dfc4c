"""Sends an answer in one piece. uvicorn writes the head and the body separately, which takes two system calls.

The client would also wake up twice, the first time for half an answer.
"""

import asyncio
from typing import Any, cast

from service.web.bounds import Bounded


class OneWrite:
    """Joins two writes of the same turn of the event loop; a single write goes out at the end of the turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.is_closing = transport.is_closing  # asked twice for each request

    def write(self, data: bytes) -> None:
        """Hold the first write, and send it with the second. Hold no more: a fast stream must notice a slow client."""
        if self._held:
            self._held += data
            self._send()
        elif data:
            self._held = data
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Close the transport, once the held write is sent."""
        self._send()
        self._transport.close()

    def write_eof(self) -> None:
        """Send the held write, then the end of the stream."""
        self._send()
        self._transport.write_eof()

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            if not self.is_closing():  # the peer has hung up in this turn; uvloop would raise
                self._transport.write(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(Bounded):
    """uvicorn's protocol with our bounds, over `OneWrite`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(cast(asyncio.Transport, OneWrite(transport, self.loop)))
