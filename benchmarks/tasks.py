"""What the tasks of every peer do."""

import asyncio
import os
import socket
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

SLEEP_S = 0.2
FIRST = -1  # the index that `note_start` reports
CALL_TIMEOUT_S = 5.0
CALLS_PER_S = 50  # the limit called `rate`

_sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
_noted = False


def stamp(index: int) -> None:
    """Tell the harness that job `index` starts now. Linux has one monotonic clock for all processes."""
    _sender.sendto(b"%d %d" % (index, time.monotonic_ns()), os.environ["BENCH_STAMPS"])


def note_start() -> None:
    """Tell the harness when this process started its first job."""
    global _noted
    if not _noted:
        _noted = True
        stamp(FIRST)


async def call(url: str) -> None:
    """Post to `benchmarks.receiver` and wait for its answer. Raises `TimeoutError`."""
    to = urlsplit(url)
    async with asyncio.timeout(CALL_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(to.hostname, to.port)
        try:
            writer.write(f"POST {to.path} HTTP/1.1\r\nhost: {to.netloc}\r\ncontent-length: 0\r\n\r\n".encode())
            await reader.readline()
        finally:
            writer.close()


def call_and_block(url: str) -> None:
    """Do the same in a thread. Raises `TimeoutError`."""
    to = urlsplit(url)
    connection = HTTPConnection(to.hostname or "", to.port, timeout=CALL_TIMEOUT_S)
    try:
        connection.request("POST", to.path)
        connection.getresponse()
    finally:
        connection.close()
