"""Parses answers for aiohttp's connections, in place of aiohttp's own parser.

aiohttp's parser is all or nothing: a 2xx whose body has one byte too many in the same segment is an error without a
status, and the job would be posted again. This parser delivers a complete head first, whatever follows it.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError, StreamReader
from aiohttp.http import HttpVersion, HttpVersion11, RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy

from service.outbound.body import Body, BodyBroken, SizedBody, body_of
from service.outbound.head import HEAD_END, Head, NotReadable, check_beginning, read_head

if TYPE_CHECKING:
    from service.outbound.connection import GuardedConnection

MAX_HEAD_BYTES = 64 * 1024
MAX_INTERIM = 20
# aiohttp reads decoded fields only for cookies, which are not kept; the transport passes the raw fields on.
_NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())

Message = tuple[RawResponseMessage, StreamReader]
Parsed = tuple[list[Message], bool, bytes]


class AnswerParser:
    """Reads one answer for `connection`, and tells it when the answer is complete."""

    def __init__(self, connection: "GuardedConnection", *, limit: int, timer: Any, asked_for_head: bool) -> None:
        self.has_begun = False
        self._connection = connection
        self._limit = limit
        self._timer = timer
        self._asked_for_head = asked_for_head
        self._held = b""
        self._interim = 0
        self._body: Body | None = None
        self._payload: StreamReader = EMPTY_PAYLOAD

    def pause_reading(self) -> None:
        """Do nothing: everything read so far is already in the body."""

    def feed_data(self, data: bytes) -> Parsed:
        """Return the answer's head once it is complete. Raises `BadHttpMessage` once there can be none."""
        self.has_begun = self.has_begun or bool(data)
        if self._body is not None:
            self._feed_body(self._body, data)
            return [], False, b""
        try:
            head = self._final_head(data)
        except NotReadable as error:
            raise BadHttpMessage(str(error)) from error
        if head is None or (head.status == 408 and self._connection.refuses_late(head)):
            return [], False, b""
        return [self._deliver(head)], False, b""

    def feed_eof(self) -> None:
        """Note that the connection is over. Raises `BodyBroken`."""
        if self._body is not None and not self._payload.is_eof():
            self._body.feed_eof()
            self._payload.feed_eof()

    def _final_head(self, data: bytes) -> Head | None:
        searched = max(0, len(self._held) - 2)
        self._held = self._held + data if self._held else data.lstrip(b"\r\n")
        while found := HEAD_END.search(self._held, searched):
            if found.start() > MAX_HEAD_BYTES:
                break
            head = read_head(self._held[: found.start()])
            self._held, searched = self._held[found.end() :], 0
            if head.status >= 200 or head.status == 101:
                return head
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise NotReadable(f"more than {MAX_INTERIM} interim answers (1xx) came before the final one")
        check_beginning(self._held)
        if len(self._held) > MAX_HEAD_BYTES:
            raise NotReadable(f"the answer's head is longer than {MAX_HEAD_BYTES // 1024} KiB")
        return None

    def _deliver(self, head: Head) -> Message:
        rest, self._held = self._held, b""
        self._body = body_of(head, asked_for_head=self._asked_for_head)
        if not head.stays_open or head.status == 101:
            self._connection.force_close()
        if isinstance(self._body, SizedBody) and not self._body.left:
            self._connection.note_whole_answer(rest)
            return _message(head), EMPTY_PAYLOAD
        loop = asyncio.get_running_loop()
        self._payload = StreamReader(self._connection, self._limit, timer=self._timer, loop=loop)
        self._feed_body(self._body, rest)
        return _message(head), self._payload

    def _feed_body(self, body: Body, data: bytes) -> None:
        if self._payload.is_eof() or self._payload.exception() is not None:
            return
        try:
            taken, beyond = body.feed(data)
        except BodyBroken as error:
            self._connection.force_close()
            self._payload.set_exception(ClientPayloadError(str(error)), error)
            return
        self._payload.feed_data(taken)
        if beyond is not None:
            self._connection.note_whole_answer(beyond)
            self._payload.feed_eof()


def _message(head: Head) -> RawResponseMessage:
    return RawResponseMessage(
        HttpVersion11 if head.version == HttpVersion11 else HttpVersion(*head.version),
        head.status,
        head.reason.decode("utf-8", "surrogateescape"),
        _NO_HEADERS,
        tuple(head.fields),
        not head.stays_open,
        None,
        False,
        head.is_chunked,
    )
