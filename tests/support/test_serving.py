"""A server that is told to stop does so in uvicorn's order: answers under way, then the app."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.serving import PromptServer


async def test_an_answer_under_way_is_given_before_the_app_shuts_down() -> None:
    happened: list[str] = []
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> PlainTextResponse:
        asked.set()
        await go_on.wait()
        happened.append("answered")
        return PlainTextResponse("at last")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        happened.append("shut down")

    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = Starlette(routes=[Route("/", answer)], lifespan=lifespan)
    server = PromptServer(uvicorn.Config(app, log_config=None))
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        serving = asyncio.create_task(server.serve([listening]))
        asking = asyncio.create_task(client.get(url))
        await asked.wait()
        server.stop()
        for _ in range(20):  # turns of the loop, in which it would end if it did not wait
            await asyncio.sleep(0)
        go_on.set()
        assert (await asking).text == "at last"
        await serving
    assert happened == ["answered", "shut down"]
