"""A load generator that is not the bottleneck: raw HTTP/1.1 on kept-alive connections.

`python -m benchmarks.load PORT CONNECTIONS SECONDS PAUSE METHOD PATH [BODY]` prints one line of JSON.
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

from benchmarks.measures import percentile

_WARM_UP_S = 0.5
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


@dataclass
class Load:
    """The figures of a load; `not_2xx` counts the answers with another status."""

    per_s: float
    p50_ms: float
    p99_ms: float
    not_2xx: int


@dataclass
class Times:
    """The times of all requests sent within the measured time."""

    begin_at: float
    took_s: list[float] = field(default_factory=list)
    not_2xx: int = 0


class Connection(asyncio.Protocol):
    """Sends the request again `pause_s` after each answer."""

    def __init__(self, request: bytes, times: Times, pause_s: float) -> None:
        self._request, self._times, self._pause_s = request, times, pause_s
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport is not a subclass
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or length is None or len(body) < int(length[1]):
            return
        now = time.perf_counter()
        if self._sent_at >= self._times.begin_at:
            self._times.took_s.append(now - self._sent_at)
            self._times.not_2xx += head[9:10] != b"2"
        self._answer = b""
        if self._pause_s:
            asyncio.get_running_loop().call_later(self._pause_s, self._send)
        else:
            self._send()


async def load(port: int, connections: int, seconds: float, pause_s: float, request: bytes) -> Load:
    """Load the server for `seconds`, after a short warm-up."""
    times = Times(begin_at=time.perf_counter() + _WARM_UP_S)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(request, times, pause_s), "127.0.0.1", port)
    await asyncio.sleep(_WARM_UP_S + seconds)
    took_ms = [took * 1000 for took in times.took_s]
    return Load(len(took_ms) / seconds, percentile(took_ms, 50), percentile(took_ms, 99), times.not_2xx)


def request_bytes(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def main(port: str, connections: str, seconds: str, pause_s: str, method: str, path: str, body: str = "") -> None:
    request = request_bytes(method, path, body.encode())
    result = uvloop.run(load(int(port), int(connections), float(seconds), float(pause_s), request))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main(*sys.argv[1:])
