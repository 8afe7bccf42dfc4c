"""The calls that are answered past FastAPI's layers: as FastAPI's own routes would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.app import create_app, direct_calls
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, stat
from tests.support.apps import made_app

KEY = {"Authorization": "Bearer key-one"}
GOOD = b'{"kind":"update_stats","args":{"subject":"s","event":"e"}}'
# What is sent to both ways: query, headers, body.
REQUESTS: dict[str, tuple[str, dict[str, str], bytes]] = {
    "accepted": ("", KEY, GOOD),
    "a query that there is not": ("?wait=5", KEY, GOOD),
    "no key": ("", {}, GOOD),
    "wrong key": ("", {"Authorization": "Bearer key-two"}, GOOD),
    "NUL in the query": ("?x=%00", KEY, GOOD),
    "NUL in the body": ("", KEY, GOOD.replace(b'e"}', b'\\u0000"}')),
    "no JSON": ("", KEY, b"{"),
    "kind unknown": ("", KEY, b'{"kind":"nope"}'),
    "queue unknown": ("", KEY, GOOD[:-1] + b',"queue":"nope"}'),
    "too large": ("", KEY, b" " * (33 * 1024 * 1024)),
    "bad idempotency key": ("", KEY | {"Idempotency-Key": ""}, GOOD),
    "idempotency key": ("", KEY | {"Idempotency-Key": "k"}, GOOD),
    "idempotency key again": ("", KEY | {"Idempotency-Key": "k"}, GOOD),
    "idempotency key of another body": ("", KEY | {"Idempotency-Key": "k"}, GOOD + b" "),
}


@asynccontextmanager
async def serving(settings: Settings, *, direct: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Call an app without a socket; `direct`: as it is, else by FastAPI's routes alone."""
    app = create_app(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)}))
    if not direct:
        app.user_middleware = [layer for layer in app.user_middleware if "endpoints" not in layer.kwargs]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://postlude", timeout=30) as client,
    ):
        client.app = app  # type: ignore[attr-defined]
        yield client


def shown(response: httpx.Response) -> tuple[Any, ...]:
    """Return all of an answer but what differs from job to job."""
    body = response.json()
    if response.status_code < 300:
        body = list(body)
    names = ("content-type", "www-authenticate", "retry-after", "idempotent-replayed")
    return response.status_code, "location" in response.headers, [response.headers.get(name) for name in names], body


@on_sqlite
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/batch"])
async def test_both_ways_answer_the_same(settings: Settings, path: str) -> None:
    answers: list[dict[str, Any]] = []
    for direct in (True, False):
        async with serving(settings, direct=direct) as api:
            given = {}
            for name, (query, headers, content) in REQUESTS.items():
                body = content if path == "/v1/jobs" or b"kind" not in content else b'{"jobs":[%s]}' % content
                mine = {key: value + str(direct) if value == "k" else value for key, value in headers.items()}
                given[name] = shown(await api.post(path + query, content=body, headers=mine))
        answers.append(given)
    assert answers[0] == answers[1]
    statuses = {name: answer[0] for name, answer in answers[0].items()}
    assert statuses == {
        "accepted": 202,
        "a query that there is not": 422,
        "no key": 401,
        "wrong key": 401,
        "NUL in the query": 422,
        "NUL in the body": 422,
        "no JSON": 400,
        "kind unknown": 422,
        "queue unknown": 422,
        "too large": 413,
        "bad idempotency key": 422,
        "idempotency key": 202,
        "idempotency key again": 202,
        "idempotency key of another body": 422,
    }


FORM = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nabc\r\n--x'
UPLOADS: dict[str, tuple[str, dict[str, str], bytes]] = {
    "accepted": ("", KEY, b"abc"),
    "accepted as a form": ("", KEY | FORM, PART + b"--\r\n"),
    "accepted for a while": ("?expires_in=60", KEY, b"abc"),
    "kept for no time": ("?expires_in=0", KEY, b"abc"),
    "a query that there is not": ("?expires=60", KEY, b"abc"),
    "no key": ("", {}, b"abc"),
    "wrong key": ("", {"Authorization": "Bearer key-two"}, b"abc"),
    "form without its end": ("", KEY | FORM, PART),
    "form without a file": ("", KEY | FORM, b"--x--\r\n"),
    "too large": ("", KEY, b" " * (1024 * 1024 + 1)),
    "idempotency key": ("", KEY | {"Idempotency-Key": "k"}, b"abc"),
    "idempotency key again": ("", KEY | {"Idempotency-Key": "k"}, b"abc"),
    "idempotency key of another file": ("", KEY | {"Idempotency-Key": "k"}, b"abd"),
}


@on_sqlite
async def test_uploads_are_answered_the_same_both_ways(settings: Settings) -> None:
    answers: list[dict[str, Any]] = []
    for direct in (True, False):
        async with serving(settings.model_copy(update={"files_max_bytes": 1024 * 1024}), direct=direct) as api:
            given = {}
            for name, (query, headers, content) in UPLOADS.items():
                mine = {key: value + str(direct) if value == "k" else value for key, value in headers.items()}
                given[name] = shown(await api.post("/v1/files" + query, content=content, headers=mine))
        answers.append(given)
    assert answers[0] == answers[1]
    assert {name: answer[0] for name, answer in answers[0].items()} == {
        "accepted": 201,
        "accepted as a form": 201,
        "accepted for a while": 201,
        "kept for no time": 422,
        "a query that there is not": 422,
        "no key": 401,
        "wrong key": 401,
        "form without its end": 400,
        "form without a file": 422,
        "too large": 413,
        "idempotency key": 201,
        "idempotency key again": 201,
        "idempotency key of another file": 422,
    }


@on_sqlite
async def test_an_unexpected_error_is_a_problem_and_is_logged_once(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    for direct in (True, False):
        async with serving(settings, direct=direct) as api:
            state = api.app.state  # type: ignore[attr-defined]
            state.api = replace(state.api, lifecycle=None)
            capfd.readouterr()
            problem = assert_problem(await api.post("/v1/jobs", json=stat(), headers=KEY), 500)
            assert problem["detail"] == "This is a fault of the service; it is logged."
            assert capfd.readouterr().err.count("request_failed") == 1


class Seen:
    """A layer as users and hooks add them: it notes what passes, and who asked."""

    def __init__(self, app: ASGIApp, seen: list[Any]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-seen", b"yes"))
                principal = scope.get("state", {}).get("principal")
                self._seen.append((scope["method"], scope["path"], message["status"], principal is not None))
            await send(message)

        await self._app(scope, receive, send_marked)


@on_sqlite
async def test_what_is_added_to_the_app_stands_around_direct_calls_too(settings: Settings) -> None:
    seen: list[Any] = []
    app = create_app(settings.model_copy(update={"api_keys": (SecretStr("key-one"),), "root_path": "/jobs"}))
    app.add_middleware(Seen, seen=seen)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {}}, receive, send)  # as uvicorn does

    transport = httpx.ASGITransport(serve)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://postlude", headers=KEY) as client,
    ):
        answers = [
            await client.post("/v1/jobs", json=stat()),
            await client.post("/v1/jobs/batch", json={"jobs": [stat()]}),
            await client.post("/v1/jobs", json=stat(), headers={"Authorization": "Bearer key-two"}),
            await client.get("/v1/kinds"),
            await client.post("/v1/jobs", json=stat(), headers={"Origin": "http://elsewhere"}),
        ]
    assert all(answer.headers["x-seen"] == "yes" for answer in answers)
    assert seen == [
        ("POST", "/v1/jobs", 202, True),
        ("POST", "/v1/jobs/batch", 202, True),
        ("POST", "/v1/jobs", 401, False),
        ("GET", "/v1/kinds", 200, True),
        ("POST", "/v1/jobs", 403, False),
    ]


def test_what_is_answered_directly_is_a_route_of_the_document(settings: Settings) -> None:
    paths = made_app(settings).openapi()["paths"]
    assert set(direct_calls()) == {("POST", "/v1/jobs"), ("POST", "/v1/jobs/batch"), ("POST", "/v1/files")}
    assert all(method.lower() in paths[path] for method, path in direct_calls())
