"""The calls that are answered past FastAPI's layers: as FastAPI's own routes would."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.api.enqueue import DIRECT
from service.app import create_app
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, stat

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
        app.direct = {}
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


@on_sqlite
async def test_an_error_that_nobody_foresaw_is_a_problem_and_is_logged_once(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    for direct in (True, False):
        async with serving(settings, direct=direct) as api:
            api.app.state.lifecycle = None  # type: ignore[attr-defined]
            capfd.readouterr()
            problem = assert_problem(await api.post("/v1/jobs", json=stat(), headers=KEY), 500)
            assert problem["detail"] == "This is a fault of the service; it is logged."
            assert capfd.readouterr().err.count("request_failed") == 1


def test_what_is_answered_directly_is_a_route_of_the_document(settings: Settings) -> None:
    paths = create_app(settings).openapi()["paths"]
    assert DIRECT
    assert all(method.lower() in paths[path] for method, path in DIRECT)
