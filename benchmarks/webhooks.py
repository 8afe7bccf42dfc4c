"""Webhooks against a bare aiohttp loop and a plain httpx client: posts a second on one loop, in interleaved rounds.

Run with `python -m benchmarks.webhooks [--posts 2000] [--rounds 5]`.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from multiprocessing.connection import Connection
from statistics import median
from typing import cast

import aiohttp
import httpx
import uvloop

from jobs.webhook import SendWebhookArgs, send_webhook
from service.outbound import open_http
from tests.fakes import fake_context

AT_ONCE = 100
PLAIN_SHARE = 10  # plain httpx is so slow that a tenth of the posts takes as long as the others
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DATA = {"id": 7, "amount": 12.5, "customer": "Ada", "lines": [{"sku": "a-1", "count": 3}]}

Post = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Figures:
    """Medians over the rounds, in posts a second."""

    aiohttp: float
    httpx: float
    send_webhook: float

    @property
    def of_aiohttp(self) -> float:
        return self.send_webhook / self.aiohttp

    @property
    def of_httpx(self) -> float:
        return self.send_webhook / self.httpx


def measure(posts: int = 2000, rounds: int = 5) -> Figures:
    """Post `posts` events in each round, 100 at once, on uvloop as a worker does."""
    with receiver() as url:
        return uvloop.run(_rounds(url, posts, rounds))


async def _rounds(url: str, posts: int, rounds: int) -> Figures:
    rates: dict[str, list[float]] = {"aiohttp": [], "httpx": [], "send_webhook": []}
    async with _aiohttp(url) as bare, _httpx(url) as plain, _send_webhook(url) as kind:
        for _ in range(rounds):
            rates["aiohttp"].append(await _rate(bare, posts))
            rates["httpx"].append(await _rate(plain, posts // PLAIN_SHARE))
            rates["send_webhook"].append(await _rate(kind, posts))
    return Figures(**{name: median(each) for name, each in rates.items()})


async def _rate(post: Post, posts: int) -> float:
    turns = iter(range(posts))

    async def sender() -> None:
        for _ in turns:
            await post()

    started = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(AT_ONCE)))
    return posts / (time.perf_counter() - started)


@contextlib.asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Post]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def post() -> None:
            async with session.post(url, json=DATA) as response:
                await response.read()

        yield post


@contextlib.asynccontextmanager
async def _httpx(url: str) -> AsyncIterator[Post]:
    async with httpx.AsyncClient() as http:

        async def post() -> None:
            await http.post(url, json=DATA)

        yield post


@contextlib.asynccontextmanager
async def _send_webhook(url: str) -> AsyncIterator[Post]:
    args = SendWebhookArgs.model_validate({"url": url, "event": "invoice.paid", "data": DATA, "secret": SECRET})
    async with open_http([ip_network("127.0.0.0/8")], AT_ONCE) as http:
        context = fake_context(http=http)

        async def post() -> None:
            await send_webhook(context, args)

        yield post


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """Answer every post with 200, from a process of its own, as fast as Python can; give its URL."""
    fork = multiprocessing.get_context("fork")  # no imports a second time
    ours, theirs = fork.Pipe()
    process = fork.Process(target=_receive, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/hook"
    finally:
        process.terminate()
        process.join()


def _receive(port: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        self._unread += data
        head, end, body = self._unread.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._unread = body[length:]
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--posts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures = measure(options.posts, options.rounds)
    print(f"posts/s, {AT_ONCE} at once: aiohttp {figures.aiohttp:,.0f}, plain httpx {figures.httpx:,.0f}")
    print(
        f"send_webhook {figures.send_webhook:,.0f}: {figures.of_aiohttp:.2f} of aiohttp, {figures.of_httpx:.1f} x httpx"
    )


if __name__ == "__main__":
    main()
