"""A receiver on loopback: `python -m benchmarks.receiver PORT`.

    POST /…          is answered with 200 at once
    POST /slow/…     is answered after `SLOW_S`
    POST /dead/…     is never answered
    GET /held        answers how many posts to /dead/ were open at most
    POST /_postlude  is answered as an app answers a call that is done at once

A post whose path ends with a number is reported to the harness as it arrives; see `benchmarks.tasks.stamp`.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

from benchmarks import tasks

SLOW_S = 0.1

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
_VERDICT = b'{"outcome": "succeeded", "result": null}\n'
_CALLED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    b"1\r\n\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_VERDICT), _VERDICT)
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


class Held:
    """Counts the posts that wait for an answer in vain."""

    now = most = 0

    def add(self, change: int) -> None:
        self.now += change
        self.most = max(self.most, self.now)


class Receiver(asyncio.Protocol):
    def __init__(self, held: Held) -> None:
        self._held = held
        self._holds = 0
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport is not a subclass

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, separator, body = self._request.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and len(body) >= (int(length[1]) if length else 0):
            self._request = b""
            self._receive(head.split(b" ", 2)[1])

    def connection_lost(self, _error: Exception | None) -> None:
        self._held.add(-self._holds)

    def _receive(self, path: bytes) -> None:
        _, name, *rest = path.split(b"/")
        if rest and rest[-1].isdigit():
            tasks.stamp(int(rest[-1]))
        if name == b"_postlude":
            self._transport.write(_CALLED)
        elif name == b"dead":
            self._holds += 1
            self._held.add(1)
        elif name == b"slow":
            asyncio.get_running_loop().call_later(SLOW_S, self._answer)
        else:
            self._answer(str(self._held.most).encode() if name == b"held" else b"")

    def _answer(self, body: bytes = b"") -> None:
        self._transport.write(_ANSWER % (len(body), body))


async def serve(port: int) -> None:
    held = Held()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(held), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
