"""The layers around the routes, and the hooks around all of them."""

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import AsyncMock

import httpx
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from service.access.principal import ANYBODY
from service.hooks import Hooks, RequestHook
from service.settings import Settings
from service.web import layers, problems

OPEN = SimpleNamespace(identify=AsyncMock(return_value=ANYBODY))


def noting(name: str, notes: list[str]) -> RequestHook:
    def wrap(app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            notes.append(f"{name} {scope['method']} {scope['path']}")
            await app(scope, receive, send)

        return call

    return wrap


async def test_hooks_stand_around_every_request_the_first_outermost(tmp_path: Path) -> None:
    async def answer(_request: Request) -> Response:
        return Response(b"direct")

    notes: list[str] = []
    app = FastAPI()
    app.state.api = SimpleNamespace(access=OPEN, rates=None)
    hooks = Hooks(requests=(noting("first", notes), noting("second", notes)))
    layers.install(app, Settings(data_dir=tmp_path), hooks, direct={("POST", "/direct"): answer})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.post("/direct")).content == b"direct"
        assert (await client.get("/direct")).status_code == 404
        refused = await client.post("/direct", headers={"Origin": "http://elsewhere"})
    assert refused.status_code == 403
    requests = ["POST /direct", "GET /direct", "POST /direct"]
    assert notes == [f"{hook} {request}" for request in requests for hook in ("first", "second")]


async def test_page_of_another_origin_can_read_that_the_service_failed(tmp_path: Path) -> None:
    async def fail(_request: Request) -> Response:
        raise RuntimeError("a bug")

    origin = "https://app.example"
    app = FastAPI()
    app.state.api = SimpleNamespace(access=OPEN, rates=None)
    app.get("/routed")(fail)
    problems.install(app)
    settings = Settings(data_dir=tmp_path, cors_origins=(origin,))
    layers.install(app, settings, Hooks(), direct={("POST", "/direct"): fail})
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for method, path in (("POST", "/direct"), ("GET", "/routed")):
            with capture_logs() as logs:
                answer = await client.request(method, path, headers={"Origin": origin})
            assert answer.status_code == 500
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["access-control-allow-origin"] == origin
            assert [one["event"] for one in logs] == ["request_failed"]
