"""A service over an empty SQLite database, with the kinds of `client_kinds.py`, and clients of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from postlude import AsyncClient, Client

import jobs
from service.settings import Settings
from tests.support.running import running_api, running_worker

HERE = Path(__file__).parent
MODULE = "tests.client.client_kinds"
T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let jobs be sent, which the client's own plugin would keep from it in tests."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.postlude("send"))


@pytest.fixture(params=["sqlite"])
def database_url(tmp_path: Any, sqlite_template: Any) -> str:
    """What a client sees is the same on each database."""
    (tmp_path / "postlude.db").write_bytes(sqlite_template.read_bytes())
    return f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,)})


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as client:
        yield client


@pytest.fixture
def url(api: httpx.AsyncClient) -> str:
    return str(api.base_url).rstrip("/")


@pytest.fixture
async def working(settings: Settings, api: httpx.AsyncClient) -> AsyncIterator[None]:
    async with running_worker(settings, jobs.load(settings.jobs)):
        yield


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(url) as opened:
        yield opened


class InThreads:
    """A `Client` whose calls run in threads: the service that it calls runs in the test's loop."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, call: Callable[[Client], T]) -> T:
        return await asyncio.to_thread(call, self._client)


@pytest.fixture
async def threaded(url: str) -> AsyncIterator[InThreads]:
    with Client(url) as opened:
        yield InThreads(opened)
