"""Post to the receiver, 100 at once: `python -m benchmarks.posts kind|call|httpx|aiohttp COUNT URL`.

It prints the posts a second, the CPU time that this process took for a post, and how long the posts took.

`kind` is the function of `send_webhook` with a real `Context.http`: signed, address checked, answer capped. `call` is
that of `call_app` in the same way, up to the verdict of the app.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import uvloop

from benchmarks.measures import percentile

AT_ONCE = 100
BODY = json.dumps({"type": "user.created", "timestamp": "2026-01-01T00:00:00Z", "data": {"n": 1}}).encode()
Post = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def by_kind(url: str) -> AsyncIterator[Post]:
    from jobs.webhook.kind import SendWebhookArgs, send_webhook
    from service.outbound import open_http
    from service.settings import Settings
    from tests.support.fakes import fake_context

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    args = SendWebhookArgs.model_validate({"url": url, "event": "user.created", "data": {"n": 1}, "secret": secret})
    async with open_http(Settings().webhook_allow, max_connections=AT_ONCE) as http:
        context = fake_context(http=http)
        yield lambda: send_webhook.call(context, args)


@asynccontextmanager
async def by_call(url: str) -> AsyncIterator[Post]:
    from benchmarks.called_app import SECRET
    from jobs.app import CallAppArgs, call_app
    from jobs.app.apps import App, Apps
    from service.outbound import open_http
    from service.settings import Settings
    from tests.support.fakes import fake_context

    class OneApp:
        """What `service/apps` offers, without its read of the ledger once a second."""

        def __init__(self, http: Any) -> None:
            self.http = http
            self.app = App(url, SECRET)

        async def find(self, _name: str) -> App:
            return self.app

    numbers = itertools.count(1)
    args = CallAppArgs(app="bench", function="benchmarks.called_app.nothing", arguments={"number": 1})
    async with open_http(Settings().webhook_allow, max_connections=AT_ONCE) as http:
        capabilities: dict[type[Any], Any] = {Apps: OneApp(http)}
        context = fake_context(http=http, capabilities=capabilities)
        # An app refuses an attempt that it has had.
        yield lambda: call_app.function(replace(context, attempt=next(numbers)), args)


@asynccontextmanager
async def by_httpx(url: str) -> AsyncIterator[Post]:
    import httpx

    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        yield lambda: client.post(url, content=BODY)


@asynccontextmanager
async def by_aiohttp(url: str) -> AsyncIterator[Post]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

        async def post() -> None:
            async with session.post(url, data=BODY) as answer:
                await answer.read()

        yield post


WAYS: dict[str, Callable[[str], AbstractAsyncContextManager[Post]]] = {
    "kind": by_kind,
    "call": by_call,
    "httpx": by_httpx,
    "aiohttp": by_aiohttp,
}


async def measure(way: str, count: int, url: str) -> dict[str, float]:
    async with WAYS[way](url) as post:
        await asyncio.gather(*(post() for _ in range(AT_ONCE)))  # connects
        started, cpu_started = time.perf_counter(), time.process_time()
        all_took = await asyncio.gather(*(_post_some(post, count // AT_ONCE) for _ in range(AT_ONCE)))
        took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
        each_ms = [one_s * 1000 for some in all_took for one_s in some]
        return {
            "posts_per_s": count / took_s,
            "cpu_us_per_post": cpu_s / count * 1e6,
            "p50_ms": percentile(each_ms, 50),
            "p99_ms": percentile(each_ms, 99),
        }


async def _post_some(post: Post, count: int) -> list[float]:
    took = []
    for _ in range(count):
        began = time.perf_counter()
        await post()
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
