"""Hostile clients of the API: they use raw sockets, send what nobody should, and measure what it costs."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

MIB = 1024 * 1024


class Answer(NamedTuple):
    """What a server said; status 0 when it closed the connection without a word."""

    status: int
    text: bytes


class RawClient:
    """One connection, on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> bool:
        """Send as much as the server takes; False once it has hung up."""
        try:
            for start in range(0, len(data), 64 * 1024):
                self.writer.write(data[start : start + 64 * 1024])
                await self.writer.drain()
        except OSError:
            return False
        return not self.writer.is_closing()

    async def flood(self, piece: bytes, size: int, first: bytes = b"") -> int:
        """Send `first`, and then `piece` until `size` bytes are sent or the server hangs up; returns what was sent."""
        sent = 0
        if await self.send(first):
            while sent < size and not self.reader.at_eof() and await self.send(piece):
                sent += len(piece)
        return sent

    async def answer(self, within_s: float = 30) -> Answer:
        """Read to the connection's end."""
        text = b""
        try:
            async with asyncio.timeout(within_s):
                while piece := await self.reader.read(64 * 1024):
                    text += piece
        except OSError:
            pass
        return Answer(int(text[9:12]) if text.startswith(b"HTTP/1.1 ") else 0, text)

    async def is_dropped(self, within_s: float = 30) -> bool:
        """Whether the server ends the connection in time."""
        try:
            await self.answer(within_s)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def raw(api: httpx.AsyncClient) -> AsyncIterator[RawClient]:
    """Connect to the server that `api` is a client of."""
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def ask(api: httpx.AsyncClient, request: bytes) -> Answer:
    """Send a request as it is, and read until the server closes the connection."""
    async with raw(api) as client:
        await client.send(request)
        return await client.answer()


def batch_of(jobs: Iterable[bytes]) -> bytes:
    return b'{"jobs":[' + b",".join(jobs) + b"]}"


def hostile_bodies(size: int) -> dict[str, bytes]:
    """Make invalid batches of about `size` bytes, each of which was once expensive to refuse."""
    unknown = b",".join(b'"a%d":1' % number for number in range(size // 12))
    stat = b'{"kind":"update_stats","args":{"subject":"s","event":"e"}'
    return {
        "unknown args": batch_of([b'{"kind":"update_stats","args":{' + unknown + b"}}"]),
        "unknown fields": b'{"jobs":[],' + unknown + b"}",
        "wrong tags": batch_of([stat + b',"tags":[' + b",".join([b"1"] * (size // 2)) + b"]}"]),
        "numbers for jobs": batch_of([b"1"] * (size // 2)),
        "empty jobs": batch_of([b"{}"] * (size // 3)),
        "bad jobs": batch_of([b'{"kind":"update_stats","args":{}}'] * 10_000),
        "objects in a job": batch_of([b'{"a":[' + b",".join([b"{}"] * (size // 3)) + b"]}"]),
        "objects in many jobs": batch_of([b'{"a":[' + b",".join([b"{}"] * 300_000) + b"]}"] * (size // 900_008)),
        "deep lists": b"[" * size,
        "deep objects": b'{"a":' * (size // 5),
        "lists in lists": batch_of([b'{"a":[' + b",".join([b"[[[[]]]]"] * 100_000) + b"]}"] * (size // 900_008)),
        "a number without end": b"9" * size,
        "a text without end": b'{"jobs":["' + b"x" * size,
        "backslashes": b'{"jobs":["' + b"\\" * size + b'u0000"]}',
        "quotes": b'"' * size,
        "a long name": b'{"' + b"k" * size + b'":1}',
        "no UTF-8": batch_of([b'{"kind":"' + b"\xff" * size + b'"}']),
        "jobs twice": b'{"jobs":[' + stat + b'}],"jobs":[]}',
        "spaces": b" " * size,
    }


def peak_memory(pid: int) -> int:
    """Return the most memory that a process has had so far, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


@asynccontextmanager
async def pulse(api: httpx.AsyncClient) -> AsyncIterator[list[float]]:
    """Ask for `/healthz` again and again; returns the list of how long each answer took."""
    took: list[float] = []

    async def beat() -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            assert (await api.get("/healthz")).status_code == 200
            took.append(loop.time() - began)
            await asyncio.sleep(0.02)

    beating = asyncio.create_task(beat())
    try:
        yield took
    finally:
        beating.cancel()
        await asyncio.wait([beating])
