"""Who may come in: pages of other origins may change nothing, and no page may read by a name that is not ours."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from service.settings import Settings
from tests.service.api.driving import assert_problem, count, on_sqlite, post, stat
from tests.support.hostile import ask
from tests.support.running import running_api

pytestmark = on_sqlite

EVIL = "https://evil.example"
APP = "https://app.example"
KEY = {"Authorization": "Bearer key-one"}
JOB = b'{"kind":"update_stats","args":{"subject":"s","event":"e"}}'


@asynccontextmanager
async def api_with(settings: Settings, **changed: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings.model_copy(update=changed)) as client:
        yield client


@pytest.fixture
async def for_app(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API that pages of `APP` may call."""
    async with api_with(settings, cors_origins=(APP,)) as client:
        yield client


async def changes(api: httpx.AsyncClient, headers: Mapping[str, str]) -> list[httpx.Response]:
    """Send, with these headers, all that changes something."""
    job = await post(api)
    return [
        await api.post("/v1/jobs", content=JOB, headers=headers),
        await api.post("/v1/jobs/batch", content=b'{"jobs":[%s]}' % JOB, headers=headers),
        await api.post("/v1/jobs/replay", content=b'{"filter":{"state":"failed"}}', headers=headers),
        await api.post(f"/v1/jobs/{job['id']}/cancel", headers=headers),
        await api.post(f"/v1/jobs/{job['id']}/replay", headers=headers),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost:1"},
        {"Origin": f"{EVIL}, {APP}"},
        {"Origin": "http://[", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_page_of_another_origin_changes_nothing(
    api: httpx.AsyncClient, for_app: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for service in (api, for_app):
        before = await count(service)
        for answer in await changes(service, headers):
            problem = assert_problem(answer, 403)
            assert problem["type"] == "urn:postlude:problem:origin-refused"
            assert "POSTLUDE_CORS_ORIGINS" in problem["detail"]
        assert await count(service) == before + 1  # the one to cancel


async def test_our_own_pages_and_programs_may(api: httpx.AsyncClient) -> None:
    place = f"{api.base_url.host}:{api.base_url.port}"
    for headers in (
        {},
        {"Origin": f"http://{place}"},
        {"Origin": f"https://{place}"},  # TLS ends before us
        {"Origin": "http://localhost:8000", "Host": "LOCALHOST:8000"},
        {"Origin": "https://jobs.localhost", "Host": "jobs.localhost:443"},
        {"Origin": "http://[::1]:8000", "Host": "[::1]:8000"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        answer = await api.post("/v1/jobs", content=JOB, headers=headers)
        assert answer.status_code == 202, headers


async def test_pages_of_other_origins_cannot_read_answers(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/jobs", headers={"Origin": EVIL})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    wish = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    assert_problem(await api.options("/v1/jobs", headers=wish), 403)


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/batch", "/v1/jobs/replay"])
async def test_a_body_that_is_said_to_be_something_else_than_json_is_415(api: httpx.AsyncClient, path: str) -> None:
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "",
    ):
        problem = assert_problem(await api.post(path, content=JOB, headers={"Content-Type": media_type}), 415)
        assert "application/json" in problem["detail"]
    assert await count(api) == 0
    for media_type in ("application/json", "Application/JSON; charset=utf-8", "application/cloudevents+json"):
        answer = await api.post("/v1/jobs", content=JOB, headers={"Content-Type": media_type})
        assert answer.status_code == 202


NAMES_OF_OTHERS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "127.1",
    "x.y.",
    "evil.example@localhost",
    "localhost/.evil.example",
    "evil%2eexample",
    "[::1",
]


@pytest.mark.parametrize("host", NAMES_OF_OTHERS)
async def test_without_keys_nothing_is_read_or_changed_by_a_foreign_name(settings: Settings, host: str) -> None:
    async with api_with(settings, smtp_url=None) as api:
        job = await post(api)
        paths = ("/", "/v1/jobs", f"/v1/jobs/{job['id']}", "/v1/stats", "/inbox", "/metrics", "/docs", "/openapi.json")
        for path in paths:
            problem = assert_problem(await api.get(path, headers={"Host": host}), 421)
            assert problem["type"] == "urn:postlude:problem:host-refused"
            assert "POSTLUDE_ALLOWED_HOSTS" in problem["detail"]
        for answer in await changes_by_name(api, job["id"], host):
            assert_problem(answer, 421)
        for path in ("/healthz", "/readyz"):
            assert (await api.get(path, headers={"Host": host})).status_code == 200
        assert await count(api) == 1


async def changes_by_name(api: httpx.AsyncClient, job_id: str, host: str) -> list[httpx.Response]:
    """What a page would send that has had its name pointed to us: to it, we are its own origin."""
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    return [
        await api.post("/v1/jobs", json=stat(), headers=headers),
        await api.post(f"/v1/jobs/{job_id}/cancel", headers=headers),
    ]


async def test_addresses_and_names_of_this_machine_are_ours(api: httpx.AsyncClient) -> None:
    for host in ("127.0.0.1", "127.0.0.2:99", "[::1]:8000", "10.0.0.7:80", "localhost", "LocalHost:8000", "localhost.",
                 "api.localhost", "api:8000", "host.docker.internal:8000"):  # fmt: skip
        assert (await api.get("/v1/jobs", headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize("first_is_ours", [True, False])
async def test_a_request_with_two_hosts_or_two_origins_is_refused(api: httpx.AsyncClient, first_is_ours: bool) -> None:
    for name, ours, foreign in (
        (b"Host", b"localhost", b"evil.example"),
        (b"Origin", b"http://localhost", b"http://evil.example"),
    ):
        pair = (ours, foreign) if first_is_ours else (foreign, ours)
        head = b"POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(JOB)
        head += b"Connection: close\r\n"
        head += b"" if name == b"Host" else b"Host: localhost\r\n"
        head += b"".join(b"%s: %s\r\n" % (name, value) for value in pair)
        assert (await ask(api, head + b"\r\n" + JOB)).status == 421
    assert await count(api) == 0


async def test_names_that_are_allowed_are_ours(settings: Settings) -> None:
    async with api_with(settings, allowed_hosts=("jobs.example.com", "*.Internal.example")) as api:
        for host, status in (
            ("jobs.example.com", 200),
            ("JOBS.example.com:8443", 200),
            ("a.internal.example", 200),
            ("internal.example", 421),
            ("jobs.example.com.evil.example", 421),
            ("evil.example/a.internal.example", 421),
            ("evil.example@a.internal.example", 421),
        ):
            assert (await api.get("/v1/jobs", headers={"Host": host})).status_code == status, host


async def test_with_keys_any_name_is_good_unless_names_are_listed(settings: Settings) -> None:
    keys = (SecretStr("key-one"),)
    async with api_with(settings, api_keys=keys) as api:
        assert (await api.get("/v1/jobs", headers=KEY | {"Host": "jobs.example.com"})).status_code == 200
    async with api_with(settings, api_keys=keys, allowed_hosts=("jobs.example.com",)) as api:
        assert (await api.get("/v1/jobs", headers=KEY | {"Host": "jobs.example.com"})).status_code == 200
        assert_problem(await api.get("/v1/jobs", headers=KEY | {"Host": "evil.example"}), 421)


async def test_beyond_this_machine_any_name_is_good_and_nobody_is_let_in_without_a_key(settings: Settings) -> None:
    async with api_with(settings, host="0.0.0.0") as api:
        for path in ("/v1/jobs", "/v1/kinds"):
            assert_problem(await api.get(path, headers={"Host": "jobs.example.com"}), 401)
        assert (await api.get("/", headers={"Host": "jobs.example.com"})).status_code == 303


async def test_pages_of_a_listed_origin_may_call_and_read(for_app: httpx.AsyncClient) -> None:
    page = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    for path in ("/v1/jobs", "/v1/jobs/batch", "/v1/kinds"):
        wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
        preflight = await for_app.options(path, headers=page | wish)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == APP
        assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()
    answers = [
        await for_app.post("/v1/jobs", json=stat(), headers=page),
        await for_app.post("/v1/jobs", json={"kind": "nope"}, headers=page),
        await for_app.get("/v1/jobs", headers=page),
    ]
    assert [answer.status_code for answer in answers] == [202, 422, 200]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == APP
        assert "location" in answer.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers


async def test_pages_of_a_listed_origin_may_make_every_call(for_app: httpx.AsyncClient) -> None:
    paths = (await for_app.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            wish = {"Origin": APP, "Access-Control-Request-Method": method.upper()}
            preflight = await for_app.options(path.replace("{", "").replace("}", ""), headers=wish)
            assert preflight.status_code == 200, (method, path, preflight.text)


async def test_an_error_in_the_answer_of_a_page_does_not_hide_from_it(settings: Settings) -> None:
    async with api_with(settings, cors_origins=(APP,), api_keys=(SecretStr("key-one"),)) as api:
        for path in ("/v1/jobs", "/v1/jobs/x/cancel"):
            answer = await api.post(path, json=stat(), headers={"Origin": APP})
            assert_problem(answer, 401)
            assert answer.headers["access-control-allow-origin"] == APP


@pytest.mark.parametrize(
    "origin",
    [
        "*", "app.example", "https://app.example/path", "ftp://app.example", "null", "https://", "https://*.app.example",
        "https://user@app.example", "https://app.example:99999", "https://[::1", "https://bücher.example",
    ],
)  # fmt: skip
def test_an_invalid_origin_is_refused_at_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    monkeypatch.setenv("POSTLUDE_CORS_ORIGINS", f"https://good.example,{origin}")
    with pytest.raises(ValidationError, match="without a path"):
        Settings()


def test_origins_are_read_as_browsers_write_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given = "https://App.example/, http://localhost:3000, https://b.example:443, http://c.example:80, http://[::1]:80"
    monkeypatch.setenv("POSTLUDE_CORS_ORIGINS", given)
    assert Settings().cors_origins == (
        "https://app.example", "http://localhost:3000", "https://b.example", "http://c.example", "http://[::1]",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["jobs.example:8000", "https://jobs.example", "jobs.example/", "bücher.example"])
def test_a_host_that_no_request_could_have_is_refused_at_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("POSTLUDE_ALLOWED_HOSTS", f"good.example,{name}")
    with pytest.raises(ValidationError, match="without scheme and port"):
        Settings()


def test_a_name_is_listed_with_or_without_its_last_dot(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_ALLOWED_HOSTS", "jobs.example., *.internal.example")
    assert Settings().allowed_hosts == ("jobs.example", "*.internal.example")
