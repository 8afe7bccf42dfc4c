"""Requests keep, and lose, the tasks that they would with FastAPI's own class."""

from typing import Any, Optional

import fastapi
import httpx
import pytest
from client.tests.fastapi.endpoints import OWN, add_middlewares, make_app
from client.tests.fastapi.functions import ran
from client.tests.fastapi.service import Service, asking

from postlude import mode
from postlude.fastapi import BackgroundTasks, Postlude
from postlude.mode import Mode

pytestmark = pytest.mark.postlude("send")
VERSION = tuple(map(int, fastapi.__version__.split(".")[:2]))
EXITS_AFTER_RESPONSE = VERSION < (0, 106) or VERSION >= (0, 118)

REQUESTS = [
    "/async",
    "/sync",
    "/none",
    "/default",
    "/annotated",
    "/two",
    "/dependencies",
    "/class",
    "/yield-before",
    "/yield-before?fails=1",
    "/yield-finally",
    "/yield-finally?fails=1",
    "/raises",
    "/raises?status=500",
    "/raises?status=oops",
    "/mistake",
    "/crashes",
    "/status",
    "/refused",
    "/background",
    "/by-hand",
    "/stream",
    "/file",
    "/no-content",
    "/router/x",
    "/mounted/x",
]


async def asked(client: httpx.AsyncClient, path: str) -> tuple[int, bytes, list[Any]]:
    ran.clear()
    answer = await client.post(path)
    return answer.status_code, answer.content, ran.copy()


@pytest.mark.parametrize("path", [path for path in REQUESTS if path != "/two"])
@pytest.mark.parametrize("has_layer", [True, False], ids=["with-layer", "without"])
@pytest.mark.parametrize("now", [Mode.LOCAL, Mode.INLINE])
async def test_runs_what_the_class_of_fastapi_runs(path: str, now: Mode, has_layer: bool) -> None:
    mode.force(now)
    own, ours = make_app(OWN), make_app(BackgroundTasks)
    if has_layer:
        Postlude(ours)
    add_middlewares(own)
    add_middlewares(ours)
    async with asking(own, raise_app_exceptions=False) as one, asking(ours, raise_app_exceptions=False) as other:
        expected = await asked(one, path)
        if now is Mode.INLINE and has_layer and EXITS_AFTER_RESPONSE and path in ("/yield-before", "/yield-finally"):
            # FastAPI loses what is added when its tasks have run; we do not.
            added = [("send", "after" if path == "/yield-before" else "finally", "hello")]
            expected = (*expected[:2], expected[2] + added)
        assert await asked(other, path) == expected


async def test_two_parameters_are_the_same_tasks() -> None:
    """FastAPI's own class can be asked for once."""
    mode.force(Mode.INLINE)
    app = make_app(BackgroundTasks)
    async with asking(app) as client:
        assert await asked(client, "/two") == (
            200,
            b'{"same":true}',
            [("send", "one", "hello"), ("send", "other", "hello")],
        )


KEPT = {
    "/async": ["send", "write"],
    "/none": [],
    "/two": ["send", "send"],
    "/dependencies": ["send"] * 4,
    "/yield-before": ["send"] * 3,
    "/yield-finally": ["send"],
    "/stream": ["send", "send"],
}
LOST = ["/yield-before?fails=1", "/yield-finally?fails=1", "/raises", "/raises?status=500", "/mistake", "/refused"]


@pytest.mark.parametrize("path", [path for path in REQUESTS if path != "/raises?status=oops"])
@pytest.mark.parametrize("has_others", [True, False], ids=["with-middlewares", "alone"])
async def test_enqueues_what_the_request_keeps(service: Service, path: str, has_others: bool) -> None:
    app = make_app(BackgroundTasks)
    if has_others:
        add_middlewares(app)
    Postlude(app)
    async with asking(app, raise_app_exceptions=False) as client:
        await client.post(path)
    expected = [] if path in LOST or path == "/crashes" else KEPT.get(path, ["write" if path == "/class" else "send"])
    assert service.called == expected


async def test_requests_with_wrong_parameters_enqueue_nothing(service: Service) -> None:
    if (0, 110) <= VERSION < (0, 118):
        pytest.skip("these versions do not tell their dependencies")
    app = fastapi.FastAPI()
    Postlude(app)

    def adds(tasks: BackgroundTasks) -> None:
        tasks.add_task(print, "x")

    @app.post("/x", dependencies=[fastapi.Depends(adds)])
    def endpoint(number: int) -> None: ...

    async with asking(app) as client:
        assert (await client.post("/x?number=oops")).status_code == 422
    assert service.jobs == []


async def test_head_and_websocket_enqueue_as_well(service: Service) -> None:
    app = make_app(BackgroundTasks)
    Postlude(app)
    async with asking(app) as client:
        await client.head("/head")
    assert service.called == ["send"]
    sent: list[Any] = []
    received = iter([{"type": "websocket.connect"}])

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "server": ("127.0.0.1", 1)}
    await app(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]
    assert service.called == ["send", "send"]


async def test_response_with_a_background_of_its_own_keeps_both(service: Service) -> None:
    """With FastAPI's own class, the tasks of the request would be lost."""
    app = fastapi.FastAPI()
    Postlude(app)
    extra: list[str] = []

    @app.post("/x")
    def endpoint(tasks: BackgroundTasks) -> fastapi.Response:
        tasks.add_task(print, "x")
        return fastapi.Response(background=fastapi.background.BackgroundTasks())

    async with asking(app) as client:
        await client.post("/x")
    assert (service.called, extra) == (["print"], [])


def test_functions_that_are_no_endpoints_may_say_optional() -> None:
    def helper(tasks: BackgroundTasks | None = None) -> bool:
        return tasks is None

    assert helper()
    assert Optional[BackgroundTasks] == (BackgroundTasks | None)  # noqa: UP045 - as many apps write it


def test_optional_is_refused_as_with_the_class_of_fastapi() -> None:
    for kind in (OWN, BackgroundTasks):
        app = fastapi.FastAPI()
        with pytest.raises(fastapi.exceptions.FastAPIError):

            @app.post("/x")
            def endpoint(tasks: kind | None = None) -> None: ...  # type: ignore[valid-type]


async def test_app_of_a_service_without_the_layer_says_so(service: Service) -> None:
    app = make_app(BackgroundTasks)
    async with asking(app) as client:
        with pytest.raises(ValueError, match=r"this app has no Postlude: write Postlude\(app\) once"):
            await client.post("/async")
