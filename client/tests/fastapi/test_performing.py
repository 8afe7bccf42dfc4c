"""The answer to a call: its head at once, newlines while the function runs, and the verdict."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from client.tests.fastapi import functions
from client.tests.fastapi.functions import ran, release
from client.tests.fastapi.service import Service, connected, serving, until
from fastapi import FastAPI
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

from postlude.fastapi import BackgroundTasks, Postlude

pytestmark = pytest.mark.postlude("send")


class Shop:
    """An app on a socket. `POST /{name}` adds a function as a task."""

    def __init__(self, service: Service, *, with_others: bool = False) -> None:
        self.service = service
        self.app = FastAPI(title="shop")
        self.postlude = Postlude(self.app)

        async def passes_on(request: Any, call_next: Any) -> Any:
            return await call_next(request)

        if with_others:
            self.app.add_middleware(GZipMiddleware, minimum_size=1)
            self.app.add_middleware(BaseHTTPMiddleware, dispatch=passes_on)

        @self.app.post("/{name}")
        def add(name: str, tasks: BackgroundTasks) -> None:
            tasks.add_task(getattr(functions, name))

    async def call(self, client: httpx.AsyncClient, name: str, **options: Any) -> dict[str, Any]:
        """Have a function enqueued, and return the options of a request that calls it."""
        assert (await client.post(f"/{name}")).status_code == 200
        return self.service.signed("shop", self.service.call_of(self.service.jobs[-1], **options))

    async def verdict(self, client: httpx.AsyncClient, name: str, **options: Any) -> Any:
        answer = await client.post("/_postlude", **await self.call(client, name, **options))
        return json.loads(answer.text)


@pytest.fixture(params=[False, True], ids=["alone", "with-middlewares"])
def shop(service: Service, request: pytest.FixtureRequest) -> Shop:
    ran.clear()
    release.clear()
    return Shop(service, with_others=request.param)


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    with serving(shop.app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield client


async def test_failure_is_told_with_the_traceback_of_the_app(shop: Shop, client: httpx.AsyncClient) -> None:
    verdict = await shop.verdict(client, "fail")
    error = verdict.pop("error")
    assert verdict == {"outcome": "failed"}
    assert (error["type"], error["message"]) == ("ValueError", "broken")
    lines = error["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "functions.py" in lines[1], "what calls the function is of no interest"
    assert lines[-1] == "ValueError: broken"


async def test_exit_of_a_function_ends_nothing_but_itself(shop: Shop, client: httpx.AsyncClient) -> None:
    verdict = await shop.verdict(client, "exit_process")
    assert verdict["error"]["type"] == "SystemExit"
    assert (await shop.verdict(client, "never_offered"))["outcome"] == "succeeded"


async def test_head_comes_at_once_and_newlines_while_it_runs(
    shop: Shop, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postlude.fastapi.performing.BEAT_S", 0.01)
    call = await shop.call(client, "block")
    call["headers"]["accept-encoding"] = "identity"
    async with client.stream("POST", "/_postlude", **call) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        received = b""
        async for chunk in answer.aiter_bytes():
            received += chunk
            if received == b"\n" * 5:
                release.set()
    assert json.loads(received) == {"outcome": "succeeded", "result": None}
    assert received.endswith(b"}\n")


async def test_function_is_cancelled_at_its_timeout(shop: Shop, client: httpx.AsyncClient) -> None:
    assert await shop.verdict(client, "wait_long", timeout_s=0.2) == {"outcome": "timed_out"}
    assert ran == ["slept began", "slept was cancelled"]


async def test_thread_is_left_at_its_timeout(shop: Shop, client: httpx.AsyncClient) -> None:
    assert await shop.verdict(client, "block", timeout_s=0.2) == {"outcome": "timed_out"}
    assert ran == ["block began"]
    release.set()
    await until(lambda: ran == ["block began", "block ended"])


async def test_function_that_succeeds_all_the_same_has_succeeded(shop: Shop, client: httpx.AsyncClient) -> None:
    verdict = await shop.verdict(client, "succeed_all_the_same", timeout_s=0.2)
    assert verdict == {"outcome": "succeeded", "result": "done"}


async def test_cut_connection_cancels_the_function(shop: Shop, client: httpx.AsyncClient) -> None:
    call = await shop.call(client, "wait_long")
    async with client.stream("POST", "/_postlude", **call):
        await until(lambda: ran == ["slept began"])
    await until(lambda: ran == ["slept began", "slept was cancelled"])


async def test_stop_interrupts_what_runs(shop: Shop, client: httpx.AsyncClient) -> None:
    calls = [asyncio.create_task(shop.verdict(client, name)) for name in ("wait_long",)]
    await until(lambda: "slept began" in ran)
    calls.append(asyncio.create_task(shop.verdict(client, "block")))
    await until(lambda: "block began" in ran)
    [loop] = {performance._interrupted.get_loop() for performance in connected(shop.postlude).door._running}
    loop.call_soon_threadsafe(connected(shop.postlude).door.stop)
    assert await asyncio.gather(*calls) == [{"outcome": "interrupted"}] * 2
    assert ran[-1] == "slept was cancelled"
    release.set()
    answer = await client.post("/_postlude", **await shop.call(client, "never_offered"))
    assert answer.status_code == 503
