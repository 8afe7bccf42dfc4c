"""Answers over the service's own HTTP protocol: in one write where they are whole, at once where they come in parts."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import uvicorn
import uvloop
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from service.web.bounds import Bounded
from service.web.one_write import OneWrite, Protocol
from tests.support.serving import PromptServer

LARGE = b"x" * 3_000_000


class Counted:
    """A transport that passes all on, and counts the writes."""

    writes = 0

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        Counted.writes += 1
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CountedProtocol(Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Counted(transport)))


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.state.may_go_on = asyncio.Event()

    @app.api_route("/whole", methods=["GET", "HEAD"])
    async def whole() -> Response:
        return Response(b"whole")

    @app.get("/nothing")
    async def nothing() -> Response:
        return Response(status_code=204)

    @app.get("/parts")
    async def parts() -> StreamingResponse:
        async def part() -> AsyncIterator[bytes]:
            await app.state.may_go_on.wait()
            yield b"one"
            yield b"two"
            yield b"three"

        return StreamingResponse(part())

    @app.get("/large")
    async def large() -> StreamingResponse:
        async def part() -> AsyncIterator[bytes]:
            for start in range(0, len(LARGE), 1_000):
                yield LARGE[start : start + 1_000]

        return StreamingResponse(part())

    return app


class CountedBelowUvicorn(Bounded):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Counted(transport)))


@asynccontextmanager
async def serving(app: FastAPI, http: type[Bounded] = CountedProtocol) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = PromptServer(uvicorn.Config(app, http=http, log_config=None))
        task = asyncio.create_task(server.serve([listening]))
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=30) as client:
            yield client
        server.stop()
        await task


async def test_a_whole_answer_is_one_write(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.get("/whole")).content == b"whole"
        before = Counted.writes
        for _ in range(3):
            assert (await client.get("/whole")).content == b"whole"
        assert Counted.writes == before + 3


async def test_uvicorn_itself_still_takes_two_writes(app: FastAPI) -> None:
    """Once it takes one, `OneWrite` has nothing left to do."""
    async with serving(app, CountedBelowUvicorn) as client:
        before = Counted.writes
        assert (await client.get("/whole")).content == b"whole"
        assert Counted.writes == before + 2


async def test_an_answer_without_a_body_is_sent(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.head("/whole")).headers["content-length"] == "5"
        assert (await client.get("/nothing")).status_code == 204
        assert (await client.get("/whole")).content == b"whole"


async def test_the_head_of_a_stream_does_not_wait_for_its_body(app: FastAPI) -> None:
    async with serving(app) as client, client.stream("GET", "/parts") as answer:
        assert answer.status_code == 200
        app.state.may_go_on.set()
        assert b"".join([part async for part in answer.aiter_bytes()]) == b"onetwothree"


async def test_a_large_stream_arrives_in_order(app: FastAPI) -> None:
    async with serving(app) as client:
        assert (await client.get("/large")).content == LARGE


async def test_a_connection_to_be_closed_is_closed_after_the_answer(app: FastAPI) -> None:
    async with serving(app) as client:
        answer = await client.get("/whole", headers={"connection": "close"})
        assert answer.content == b"whole"
        assert answer.headers["connection"] == "close"


def test_peer_that_hangs_up_meanwhile_is_sent_nothing_and_no_error_is_logged() -> None:
    errors: list[object] = []

    class HungUp(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            transport.abort()
            loop = asyncio.get_running_loop()
            loop.call_soon(OneWrite(transport, loop).write, b"a block that was read meanwhile")

    async def ask() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: errors.append(context))
        async with await loop.create_server(HungUp, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answer = await reader.read()
            writer.close()
            return answer

    assert uvloop.run(ask()) == b""
    assert errors == []
