"""Keys of the API."""

import re
from typing import Any

import httpx
from pydantic import SecretStr

from service.settings import Settings
from tests.service.api.driving import assert_problem, count, on_sqlite, stat
from tests.support.browser import browsing
from tests.support.running import running_api

WRONG: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer key-on"},
    {"Authorization": "Basic key-one"},
    {"Authorization": "key-one"},
    {"Authorization": "Bearer key-one,key-two"},
    {"Authorization": b"Bearer \xe9".decode("latin-1")},
)


def calls(document: dict[str, Any]) -> list[tuple[str, str]]:
    """List every call below /v1 that the OpenAPI document knows."""
    return [
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, item in document["paths"].items()
        if path.startswith("/v1")
        for method in item
        if method in {"get", "put", "post", "delete", "patch"}
    ]


def as_bytes(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


@on_sqlite
async def test_every_call_below_v1_asks_for_a_key(settings: Settings) -> None:
    keys = (SecretStr("key-one"), SecretStr("key-two"))
    async with browsing(settings.model_copy(update={"api_keys": keys})) as api:
        known = calls((await api.get("/openapi.json")).json())
        assert len(known) >= 8
        for method, path in known:
            for headers in WRONG:
                response = await api.request(method, path, headers=as_bytes(headers))
                assert_problem(response, 401)
                assert response.headers["www-authenticate"] == "Bearer"
                assert "key-" not in response.text
                if method == "GET":
                    assert (await api.head(path, headers=as_bytes(headers))).status_code == 401
            for key in ("Bearer key-one", "bearer key-two"):
                response = await api.request(method, path, headers={"Authorization": key})
                assert response.status_code in (200, 201, 400, 404, 422), (method, path, response.text)


@on_sqlite
async def test_request_without_a_key_is_refused_before_anything_else(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)})) as api:
        assert_problem(await api.post("/v1/jobs", json=stat()), 401)
        assert_problem(await api.post("/v1/jobs", content=b"x" * 2_000_000), 401)
        assert_problem(await api.get("/v1/jobs", params={"limit": 0}), 401)
        api.headers["Authorization"] = "Bearer key-one"
        assert await count(api) == 0
        assert (await api.post("/v1/jobs", json=stat())).status_code == 202


@on_sqlite
async def test_health_needs_no_key(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("key-one"),)})) as api:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await api.get(path)).status_code == 200, path


@on_sqlite
async def test_without_keys_everybody_may_call(api: httpx.AsyncClient) -> None:
    assert (await api.post("/v1/jobs", json=stat(), headers={"Authorization": "Bearer whatever"})).status_code == 202
