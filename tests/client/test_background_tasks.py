"""The tasks of an app's requests, as the service takes them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from postlude.calling.arguments import unpack
from postlude.fastapi import BackgroundTasks, Postlude
from postlude.policy import task

from service.settings import Settings
from tests.support.processes import api_process

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.postlude("send"),
    pytest.mark.timeout(120),
]

VALUES: list[Any] = [
    "NUL \0 and a surrogate \ud800",
    "é\u2028\n",
    {"\0": 1, "$postlude": "x", "nested": [{"$postlude": 1}]},
    {1: "a", "b": 2},
    10**40,
    -(2**63),
    1e22,
    -0.0,
    float("inf"),
    [1, 1.0, True, None],
    (1, {2}, b"\xff"),
    datetime(2026, 1, 2, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    UUID(int=7),
    Decimal("1.10"),
    Path("/tmp/x"),
]


async def show(value: Any, *more: Any) -> None: ...


@task(unique=True, timeout=20, max_attempts=2, retry={"delays": [1]}, lane={"key": "mail", "concurrency": 1})
async def once(to: str) -> None: ...


@pytest.fixture
async def api(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with api_process(settings) as (api, _):
        monkeypatch.setenv("POSTLUDE_URL", str(api.base_url))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield api


@contextmanager
def shop(**options: Any) -> Iterator[tuple[FastAPI, Postlude]]:
    app = FastAPI(title="shop")
    postlude = Postlude(app, **options)

    @app.post("/values")
    def values(tasks: BackgroundTasks) -> None:
        for value in VALUES:
            tasks.add_task(show, value)

    @app.post("/once/{count}")
    def add_once(count: int, tasks: BackgroundTasks) -> list[str | None]:
        handles = [tasks.add_task(once, "ann") for _ in range(count)]
        return [handle.id for handle in handles]

    @app.post("/size/{size}")
    def large(size: int, tasks: BackgroundTasks, count: int = 1) -> None:
        for _ in range(count):
            tasks.add_task(show, "\n" * size)

    yield app, postlude


def asking(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000", timeout=60)


async def test_any_value_that_travels_is_taken_and_comes_back(api: httpx.AsyncClient) -> None:
    with shop() as (app, _):
        async with asking(app) as client:
            assert (await client.post("/values")).status_code == 200
    jobs = (await api.get("/v1/jobs", params={"limit": 100, "order": "asc"})).json()["jobs"]
    arrived = [unpack(show, job["args"]["arguments"]).args[0] for job in jobs]
    assert list(map(repr, arrived)) == list(map(repr, VALUES))
    assert [job["state"] for job in jobs] == ["queued", *["blocked"] * (len(VALUES) - 1)]


async def test_policy_of_a_function_is_taken(api: httpx.AsyncClient) -> None:
    with shop() as (app, _):
        async with asking(app) as client:
            [first] = (await client.post("/once/1")).json()
            [second] = (await client.post("/once/1")).json()
            assert (await client.post("/once/3")).status_code == 200
    job = (await api.get(f"/v1/jobs/{first}")).json()
    assert (job["max_attempts"], job["lane"], job["label"]) == (2, "mail", f"shop.{__name__}.once")
    assert (await api.get(f"/v1/jobs/{second}")).status_code == 404, "the first stands for it"


async def test_arguments_as_large_as_add_task_takes_are_taken(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("WITHIN_S", "AT_MOST_S"):  # a busy machine may need longer for 13 MB
        monkeypatch.setattr(f"postlude.fastapi.service.{limit}", 60.0)
    with shop() as (app, _):
        async with asking(app) as client:
            assert (await client.post("/size/127990")).status_code == 200
            assert (await client.post("/size/127990?count=100")).status_code == 200


async def test_app_whose_secret_differs_answers_503_and_says_what_to_do(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with shop(secret="whsec_" + "A" * 44) as (app, _):
        async with asking(app) as client:
            assert (await client.post("/once/1")).status_code == 200
    with shop(secret="whsec_" + "B" * 44) as (app, postlude):
        async with asking(app) as client:
            assert (await client.post("/once/1")).status_code == 503
    assert postlude.not_enqueued == 1
    assert "secret" in caplog.text


async def test_secret_is_changed_by_naming_the_old_one_too(api: httpx.AsyncClient) -> None:
    old, new = "whsec_" + "A" * 44, "whsec_" + "B" * 44
    for secret in (old, f"{new} {old}", new):
        with shop(secret=secret) as (app, _):
            async with asking(app) as client:
                assert (await client.post("/once/1")).status_code == 200


async def test_app_that_moved_registers_anew(api: httpx.AsyncClient) -> None:
    for url in ("http://127.0.0.1:8001", "http://127.0.0.1:8002"):
        with shop(url=url) as (app, _):
            async with asking(app) as client:
                assert (await client.post("/once/1")).status_code == 200
        assert (await api.get("/v1/apps/shop")).json()["url"].rstrip("/") == url
