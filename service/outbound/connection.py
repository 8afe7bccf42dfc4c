"""A connection that is reused only when it is clean, and that never takes stray bytes for an answer.

HTTP/1.1 cannot tell stray bytes from an answer, but time can: bytes that arrive while no request is under way, or
before it is written, answer nothing. They close the connection, so that no request gets them as its result.
"""

import asyncio
import select
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from service.exchange import asking
from service.outbound.answer import AnswerParser
from service.outbound.head import Head


class ConnectionStale(aiohttp.ClientConnectionError):
    """A kept connection turned out dead or unclean before the answer.

    `is_unsent` says that the receiver cannot have got the whole request. This is no subclass of the errors after which
    aiohttp itself sends again: one repeat, on a fresh connection, is enough.
    """

    def __init__(self, message: str, *, is_unsent: bool) -> None:
        super().__init__(message)
        self.is_unsent = is_unsent


class SpokeUnasked(aiohttp.ClientConnectionError):
    """The server spoke on a fresh connection before it was asked anything."""


class GuardedConnection(ResponseHandler):
    """aiohttp's protocol of one connection, with answers read by `AnswerParser`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._requests = 0
        self._is_asked = False
        self._answer: AnswerParser | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._is_readable = _readability(transport)
        self.peer = transport.get_extra_info("peername")

    def set_response_params(self, **params: Any) -> None:
        """Get ready for one more request; aiohttp calls this before it writes."""
        self._skip_payload = params["skip_payload"]
        self._read_timeout = params["read_timeout"]
        self._requests += 1
        self._is_asked = False
        self._answer = AnswerParser(
            self, limit=params["read_bufsize"], timer=params["timer"], asked_for_head=params["skip_payload"]
        )
        self._parser = cast(Any, self._answer)

    async def expect_answer(self) -> bool:
        """Expect an answer from here on, because the request is about to be written. Return False if it must not be.

        Bytes that have already arrived are read first, and `data_received` refuses them. Messages of TLS itself, such
        as session tickets after a handshake, are neither an answer nor a fault.
        """
        while not self._is_asked and self._exception is None and self._has_unread_bytes():
            if self.transport is None:
                self._refuse()
            await asyncio.sleep(0)
        self._is_asked = self._exception is None
        return self._is_asked

    def refuses_late(self, head: Head) -> bool:
        """Return whether a 408 was meant for the idle connection, and crossed with our request (RFC 9110, 15.5.9)."""
        if self._requests > 1 and not head.stays_open:
            self.set_exception(ConnectionStale("the kept connection ended with 408", is_unsent=True))
        return self._exception is not None

    def note_whole_answer(self, beyond: bytes) -> None:
        """Note that the answer is complete. Bytes beyond its end make the connection unclean."""
        self._is_asked = False
        if beyond:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        if data and not self._is_asked:
            self._refuse()
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        has_begun = self._answer is not None and self._answer.has_begun
        if self._requests > 1 and self._exception is None and not has_begun:
            reason = "the kept connection ended before an answer"
            self.set_exception(ConnectionStale(reason, is_unsent=not self._is_asked))
        super().connection_lost(exc)

    def _refuse(self) -> None:
        if self._requests > 1:
            reason = "the kept connection held bytes that nobody had asked for"
            self.set_exception(ConnectionStale(reason, is_unsent=True))
        else:
            self.set_exception(SpokeUnasked("the server spoke before it was asked"))
        if self.transport is not None:
            self.transport.abort()

    def _has_unread_bytes(self) -> bool:
        """Return whether the socket holds bytes, or its end, that the loop has not read yet."""
        return self.transport is None or bool(self._is_readable())


class GuardedRequest(aiohttp.ClientRequest):
    """aiohttp's request, which checks its connection right before it is written."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        connection = _connection_of(conn)
        if (exchange := asking.get()) is not None:
            exchange.peer = connection.peer
        if not self.body and not await connection.expect_answer() and (error := connection.exception()):
            raise error
        return await super().send(conn)

    async def write_bytes(self, writer: Any, conn: Connection, content_length: int | None = None) -> None:
        if await _connection_of(conn).expect_answer():
            await super().write_bytes(writer, conn, content_length)


def _connection_of(conn: Connection) -> GuardedConnection:
    assert isinstance(conn.protocol, GuardedConnection)
    return conn.protocol


def _readability(transport: asyncio.BaseTransport) -> Callable[[], object]:
    """Return a function whose result is true while the transport's socket, which must be open, is readable."""
    fd: int = transport.get_extra_info("socket").fileno()
    if sys.platform == "win32":
        return lambda: select.select([fd], [], [], 0)[0]
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return partial(poll.poll, 0)
