"""Bounds on what a connection may send and how long it may take; uvicorn has none for most of it.

They apply before the key is checked. A request that exceeds one gets a problem, and its connection is closed.
"""

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar, NamedTuple, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.web.taking import Taking

KIB = 1024
LONGEST_URL = 32 * KIB
LARGEST_HEAD = 64 * KIB
MOST_HEADERS = 200
MOST_PIPELINED = 64
# What chunks may have around them: sizes, extensions, trailers.
_FREE_FRAMING = 64 * KIB
_FRAMING_PER_BYTE = 8
_ONE_MORE_LOOK_S = 0.02
# What a refused peer may still send before it has read why.
_MOST_DISCARDED = 1024 * KIB

_HEAD, _BODY, _NOTHING = "head", "body", "nothing"


class Refusal(NamedTuple):
    """Why a connection is closed. `name` is the name of the problem's type."""

    status: int
    name: str
    title: str
    detail: str


_URL_TOO_LONG = Refusal(414, "url-too-long", "URL too long", f"The URL may have at most {LONGEST_URL // KIB} KiB.")
_HEAD_TOO_LARGE = Refusal(
    431,
    "headers-too-large",
    "Headers too large",
    f"A request may have at most {MOST_HEADERS} headers, and {LARGEST_HEAD // KIB} KiB of them.",
)
_TOO_SLOW = Refusal(408, "request-too-slow", "Request too slow", "The request did not arrive in time.")
_TOO_MANY = Refusal(
    503, "too-many-connections", "Too many connections", "There are too many connections. Try again in a second."
)
_NOT_HTTP = Refusal(400, "not-http", "Not HTTP", "The request is not valid HTTP.")


class Bounded(HttpToolsProtocol):
    """uvicorn's own protocol with bounds. The time limits are attributes, so that tests can shorten them."""

    head_within_s: ClassVar[float] = 10.0
    # A body has this much time, and one second more for each KiB.
    body_within_s: ClassVar[float] = 30.0
    # The rest of a body whose request is already answered: else a client that reads last would lose the answer.
    rest_within_s: ClassVar[float] = 5.0
    linger_s: ClassVar[float] = 2.0
    most_connections: ClassVar[int] = 2_000

    _due: str = _HEAD  # what the peer has to send: a head, a body, or nothing before it is answered
    waits_since: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _idle_since: float | None = None
    _refused = False
    _refusal = _NOT_HTTP
    _chunk_size = _first_chunk_size = _discarded_size = _head_size = _body_size = _framing_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._taking = Taking(transport, self.loop)
        self._await(_HEAD)
        self._watch()
        if len(self.connections) > self.most_connections and not self._drop_the_idlest():
            self._refuse(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self._taking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._chunk_size = len(data)
        if self._refused:
            self._discard()
            return
        super().data_received(data)
        if self._due == _NOTHING:
            if not self.is_idle:
                return
            self._await(_HEAD)  # an empty line between two requests, for which uvicorn forgets that it was idle
        if self.parser is not None and not self._refused:
            self._check_size()
            self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await(_HEAD)
        self._head_size, self._first_chunk_size = 0, self._chunk_size

    def on_headers_complete(self) -> None:
        if len(self.url) > LONGEST_URL:
            self._fail(_URL_TOO_LONG)
        if len(self.headers) > MOST_HEADERS or self._has_large_headers():
            self._fail(_HEAD_TOO_LARGE)
        if len(self.pipeline) >= MOST_PIPELINED:
            self._fail(_NOT_HTTP)
        self._await(_BODY)
        self._body_size, self._framing_size = 0, -self._chunk_size
        super().on_headers_complete()
        self.headers = []  # for trailers, which are not headers of the request
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser would take what follows for another protocol

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._due = _NOTHING
        # What is left of this chunk may begin a head; the rest was a body, and may be large.
        self._head_size, self._first_chunk_size = 0, self._chunk_size
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin the next request, or wait for it. Differs from uvicorn's only in the timer (see `_await_idleness`)."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._taking.watch()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            self._await_idleness()
        if self._due == _BODY:
            if self.expect_100_continue and not self._body_size:
                self.transport.close()  # the body that was not asked for will not come; another request might
            self._await(_BODY)
            self._watch()

    def _should_upgrade(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as if it had not asked to upgrade."""

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that the parser cannot read, or at which `_fail` stopped it."""
        self._refuse(self._refusal)

    def _unset_keepalive_if_required(self) -> None:
        """Note that the connection is no longer idle. The timer keeps running."""
        self._idle_since = None

    def _await_idleness(self) -> None:
        """Use one timer for idleness, whatever arrives meanwhile: a timer for each request would take 2 us."""
        if self.timeout_keep_alive_task is None and self._idle_since is not None:
            left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
            self.timeout_keep_alive_task = self.loop.call_later(max(0.0, left_s), self.timeout_keep_alive_handler)

    def _was_idle_too_long(self) -> bool:
        return self._idle_since is not None and self.loop.time() >= self._idle_since + self.timeout_keep_alive

    def timeout_keep_alive_handler(self) -> None:
        """Look once more before closing: after a busy turn of the loop, the next request may already be here."""
        self.timeout_keep_alive_task = None
        if self._was_idle_too_long():
            self.timeout_keep_alive_task = self.loop.call_later(_ONE_MORE_LOOK_S, self._end_idleness)
        else:
            self._await_idleness()

    def _end_idleness(self) -> None:
        self.timeout_keep_alive_task = None
        if self._was_idle_too_long():
            self.transport.close()
            self._taking.watch()
        else:
            self._await_idleness()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._taking.cancel()

    @property
    def is_idle(self) -> bool:
        """Whether every complete request is answered."""
        return self.cycle is None or self.cycle.response_complete

    def _await(self, due: str) -> None:
        self._due, self.waits_since = due, self.loop.time()

    def _has_large_headers(self) -> bool:
        if self._head_size + self._chunk_size <= LARGEST_HEAD:
            return False
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > LARGEST_HEAD

    def _check_size(self) -> None:
        if self._due == _HEAD:
            self._head_size += self._chunk_size
            if self._head_size - self._first_chunk_size > LARGEST_HEAD:  # the first may hold other things too
                self._refuse(_URL_TOO_LONG if len(self.url) > LONGEST_URL else _HEAD_TOO_LARGE)
        else:
            self._framing_size += self._chunk_size
            if self._framing_size > _FREE_FRAMING + (1 + _FRAMING_PER_BYTE) * self._body_size:
                self._refuse(_NOT_HTTP)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(max(0.0, self._time_left()), self._check_time)

    def _time_left(self) -> float:
        if self._due == _HEAD:
            within_s = self.head_within_s
        else:
            within_s = self.rest_within_s if self.is_idle else self.body_within_s + self._body_size / KIB
        return self.waits_since + within_s - self.loop.time()

    def _check_time(self) -> None:
        self._timer = None
        if self._due == _NOTHING or self._refused or self.transport.is_closing():
            return
        if self._time_left() > 0:
            self._watch()
        elif self.flow.read_paused:  # by us
            self._timer = self.loop.call_later(self.head_within_s, self._check_time)
        elif self._due == _BODY and self.is_idle:
            self.transport.abort()
        else:
            self._refuse(_TOO_SLOW)

    def _drop_the_idlest(self) -> bool:
        """Close the connection that has been idle the longest, if there is one."""
        others = [one for one in self.connections if isinstance(one, Bounded) and one is not self and one.is_idle]
        if not others:
            return False
        min(others, key=lambda one: one.waits_since).transport.abort()
        return True

    def _fail(self, refusal: Refusal) -> NoReturn:
        """Stop the parser, which leads to a call of `send_400_response`."""
        self._refusal = refusal
        raise ValueError(refusal.detail)

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, unless the peer waits for another answer, and stop listening."""
        self._refused = True
        if self.transport.is_closing() or not (self.is_idle or self._takes_back_the_request()):
            self.transport.close()
            self._taking.watch()
            return
        status, name, title, detail = refusal
        problem = {"type": f"urn:postlude:problem:{name}", "title": title, "status": status, "detail": detail}
        body = json.dumps(problem).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/problem+json\r\n"
        head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        # Closed at once, while the peer still sends, the connection would be reset and the answer lost.
        self.transport.write_eof()
        self.loop.call_later(self.linger_s, self.transport.abort)

    def _takes_back_the_request(self) -> bool:
        """Make the app believe that the peer has gone, if only the request now arriving waits for an answer."""
        if self._due != _BODY or self.pipeline or self.cycle.response_started:
            return False
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return True

    def _discard(self) -> None:
        self._discarded_size += self._chunk_size
        if self._discarded_size > _MOST_DISCARDED:
            self.transport.abort()
