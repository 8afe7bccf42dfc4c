"""Where the body of an HTTP/1 answer ends (RFC 9112, 6 and 7). Pure.

`feed` returns the bytes of the body, and the bytes beyond its end, or None while the body has not ended.
"""

import re
from typing import Protocol

from service.outbound.head import Head

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?", re.DOTALL)
_LONGEST_LINE = 16 * 1024
_NO_SIZE = "a chunk of the answer's body has no size"
_NO_BODY = {101, 204, 304}

Fed = tuple[bytes, bytes | None]


class BodyBroken(Exception):
    """The body does not end as its head says."""


class Body(Protocol):
    def feed(self, data: bytes) -> Fed:
        """Raises `BodyBroken`."""
        ...

    def feed_eof(self) -> None:
        """Note that the connection is over. Raises `BodyBroken`."""
        ...


def body_of(head: Head, *, asked_for_head: bool) -> Body:
    """Return the body that follows `head`."""
    if asked_for_head or head.status in _NO_BODY:
        return SizedBody(0)
    if head.is_chunked:
        return ChunkedBody()
    return UntilClosed() if head.length is None else SizedBody(head.length)


class SizedBody:
    def __init__(self, size: int) -> None:
        self.left = size

    def feed(self, data: bytes) -> Fed:
        body, rest = data[: self.left], data[self.left :]
        self.left -= len(body)
        return body, None if self.left else rest

    def feed_eof(self) -> None:
        if self.left:
            raise BodyBroken(f"the answer's body broke off {self.left} bytes before its end")


class UntilClosed:
    def feed(self, data: bytes) -> Fed:
        return data, None

    def feed_eof(self) -> None: ...


class ChunkedBody:
    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._read_line = self._read_size
        self._ended = False

    def feed(self, data: bytes) -> Fed:
        held, at = self._held + data, 0
        chunks: list[bytes] = []
        while not self._ended:
            if self._left:
                chunk = held[at : at + self._left]
                self._left -= len(chunk)
                at += len(chunk)
                chunks.append(chunk)
            end = held.find(b"\n", at)
            if self._left or end < 0:
                break
            self._read_line(held[at:end].rstrip(b"\r"))
            at = end + 1
        self._held = held[at:]
        if len(self._held) > _LONGEST_LINE and not self._ended:
            raise BodyBroken(_NO_SIZE)
        return b"".join(chunks), self._held if self._ended else None

    def feed_eof(self) -> None:
        raise BodyBroken("the answer's body broke off before its last chunk")

    def _read_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if not found:
            raise BodyBroken(_NO_SIZE)
        self._left = int(found[1], 16)
        self._read_line = self._read_chunk_end if self._left else self._read_trailer

    def _read_chunk_end(self, line: bytes) -> None:
        if line:
            raise BodyBroken("a chunk of the answer's body is longer than its size")
        self._read_line = self._read_size

    def _read_trailer(self, line: bytes) -> None:
        self._ended = not line
