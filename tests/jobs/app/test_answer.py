from collections.abc import AsyncIterator, Iterable

import httpx
import pytest

from jobs.app.answer import EXCERPT_BYTES, LONGEST_LINE_BYTES, LineTooLong, excerpt_of, last_line


class Chunks(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterable[bytes], *, breaks: bool = False) -> None:
        self.chunks = iter(chunks)
        self.breaks = breaks
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        if self.breaks:
            raise httpx.RemoteProtocolError("broke off")

    async def aclose(self) -> None:
        self.is_closed = True


def answer(*chunks: bytes, breaks: bool = False) -> httpx.Response:
    return httpx.Response(200, stream=Chunks(chunks, breaks=breaks))


@pytest.mark.parametrize(
    ("chunks", "line"),
    [
        ((b"\n", b"\n\n", b'{"a":1}\n'), b'{"a":1}'),
        ((b"\n\n{", b'"a"', b":1}", b"\n"), b'{"a":1}'),
        ((b"\r\n", b'{"a":1}\r\n'), b'{"a":1}\r'),
        ((b'{"a":1}',), b'{"a":1}'),
        ((b"\n", b"\n"), b""),
        ((), b""),
        ((b"one\ntwo\n",), b"one"),
    ],
)
async def test_the_line_behind_the_heartbeats_is_read_however_it_arrives(
    chunks: tuple[bytes, ...], line: bytes
) -> None:
    response = answer(*chunks)
    assert await last_line(response) == line
    assert isinstance(response.stream, Chunks)
    assert response.stream.is_closed
    assert await last_line(httpx.Response(200, stream=httpx.ByteStream(b"".join(chunks)))) == line.strip()


async def test_an_answer_that_breaks_off_before_its_verdict_has_none_and_behind_it_has_it() -> None:
    assert await last_line(answer(b"\n", b"{}\n", breaks=True)) == b"{}"
    assert await last_line(answer(b"\n", b"{", breaks=True)) == b""


async def test_memory_is_bounded_whatever_comes() -> None:
    seen = 0

    def endless() -> Iterable[bytes]:
        nonlocal seen
        while True:
            seen += 65536
            yield b"x" * 65536

    with pytest.raises(LineTooLong):
        await last_line(httpx.Response(200, stream=Chunks(endless())))
    assert seen <= LONGEST_LINE_BYTES + 2 * 65536
    with pytest.raises(LineTooLong):
        await last_line(httpx.Response(200, stream=httpx.ByteStream(b"x" * (LONGEST_LINE_BYTES + 1))))
    beats = answer(*[b"\n" * 65536] * 64, b"{}\n")
    assert await last_line(beats) == b"{}"
    assert len(await excerpt_of(httpx.Response(500, stream=Chunks(endless())))) == EXCERPT_BYTES


async def test_an_excerpt_is_what_has_come_until_it_breaks_off() -> None:
    assert await excerpt_of(answer(b"half", breaks=True)) == b"half"
