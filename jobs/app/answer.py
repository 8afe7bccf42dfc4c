"""An app's answer as it comes in: heartbeats, then one line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx

LONGEST_LINE_BYTES = 1024 * 1024
MEDIA_TYPE = "application/x-ndjson"
EXCERPT_BYTES = 8 * 1024
# An answer that goes on after its verdict is cut off; one that ends there leaves its connection for the next call.
_END_WAIT_S = 1.0
_EXCERPT_WAIT_S = 2.0


class LineTooLong(Exception):
    """The verdict is longer than we keep in memory."""


async def last_line(response: httpx.Response) -> bytes:
    """Return the line after the heartbeats, and close the answer; empty if it ends or breaks off without one.

    Raises `LineTooLong`, and `httpx.TransportError` if it falls silent.
    """
    async with aclosing(response):
        if isinstance(response.stream, httpx.ByteStream):  # it has arrived whole
            return _bounded(b"".join(response.stream).strip().partition(b"\n")[0])
        chunks = _raw(response)
        line = bytearray()
        try:
            async for chunk in chunks:
                line += chunk if line else chunk.lstrip()
                if b"\n" in line:
                    await _end_of(chunks)
                    break
                _bounded(line)
        except httpx.RemoteProtocolError:
            return b""
        return _bounded(bytes(line).partition(b"\n")[0])


async def excerpt_of(response: httpx.Response) -> bytes:
    """Return the beginning of an answer that is not a verdict, and close it. Breaking off is not a failure."""
    beginning = bytearray()
    try:
        async with asyncio.timeout(_EXCERPT_WAIT_S), aclosing(response):
            if isinstance(response.stream, httpx.ByteStream):
                return b"".join(response.stream)[:EXCERPT_BYTES]
            async for chunk in _raw(response):
                beginning += chunk
                if len(beginning) >= EXCERPT_BYTES:
                    break
    except (httpx.TransportError, TimeoutError):
        pass
    return bytes(beginning[:EXCERPT_BYTES])


def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream.__aiter__()


async def _end_of(chunks: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_END_WAIT_S):
            async for _ in chunks:
                pass
    except (httpx.TransportError, TimeoutError):
        pass


def _bounded(line: bytes | bytearray) -> bytes:
    if len(line) > LONGEST_LINE_BYTES:
        raise LineTooLong
    return bytes(line)
