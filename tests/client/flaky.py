"""A proxy that reads requests whole, and then does to them and their answers what bad proxies and networks do."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

from tests.support.proxy import LINGER_NOT

_PAGE = b"<html><body>Sorry.</body></html>"


def _answer(status: bytes, *headers: bytes, body: bytes = _PAGE, sort: bytes = b"text/html") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"content-type: " + sort, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


# Not forwarded, or forwarded first.
REFUSALS = {
    "busy": lambda: _answer(b"503 Service Unavailable", b"retry-after: 0"),
    "too_many": lambda: _answer(b"429 Too Many Requests", b"retry-after: " + formatdate(usegmt=True).encode()),
    "bad_gateway": lambda: _answer(b"502 Bad Gateway"),
    "full": lambda: _answer(b"507 Insufficient Storage", b"retry-after: 0"),
}
PATIENT = {
    "busy_for_a_second": lambda: _answer(b"503 Service Unavailable", b"retry-after: 1"),
    "busy_for_an_hour": lambda: _answer(b"503 Service Unavailable", b"retry-after: 3600"),
}
LOSSES = ("drop_request", "reset", "drop_answer", "half_answer", "half_json", "black_hole")
_REFUSALS = REFUSALS | PATIENT
FAULTS = (*REFUSALS, *(f"late_{name}" for name in REFUSALS), *LOSSES)


@dataclass
class FlakyProxy:
    """Does the next fault of `plan` to each request, and none when it is used up."""

    target: tuple[str, int]
    plan: Iterator[str] = field(default_factory=lambda: iter(()))
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._serve(reader, writer)
        writer.close()
        self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        fault = next(self.plan, "pass")
        size = int(length[1]) if length else 0
        if fault in ("drop_request", "reset"):
            await reader.readexactly(size // 2)
            if fault == "reset":
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            return
        request = head + await reader.readexactly(size)
        self.requests.append(request)
        if fault in _REFUSALS:
            writer.write(_REFUSALS[fault]())
            return
        answer = await self._forward(request)
        if fault == "black_hole":
            await reader.read()
        elif fault.startswith("late_"):
            writer.write(_REFUSALS[fault.removeprefix("late_")]())
        elif fault == "half_answer":
            writer.write(answer[: len(answer) // 2])
        elif fault == "half_json":
            head, _, body = answer.partition(b"\r\n\r\n")
            unbounded = re.sub(rb"(?i)content-length: \d+\r\n|transfer-encoding: chunked\r\n", b"", head + b"\r\n")
            writer.write(unbounded + b"\r\n" + body[: len(body) // 2])
        elif fault == "pass":
            writer.write(answer)

    async def _forward(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.target)
        try:
            writer.write(re.sub(rb"(?i)connection: keep-alive", b"connection: close", request, count=1))
            return await reader.read()
        finally:
            writer.close()

    async def stop(self) -> None:
        for serving in self._serving:
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


@asynccontextmanager
async def flaky(target: tuple[str, int]) -> AsyncIterator[FlakyProxy]:
    """Run a proxy in front of `target`."""
    proxy = FlakyProxy(target)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
        await proxy.stop()
