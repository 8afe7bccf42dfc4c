"""Pages are tried on SQLite alone: what they read has its tests on both databases."""

import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from service.feature import belongings_of
from service.features import FEATURES
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.support.browser import browsing
from tests.support.servers import RedisServer


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "postlude.db")
    return f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    belongings = belongings_of(FEATURES)
    async with Ledger.open(database_url, retention=timedelta(days=30), belongings=belongings) as opened:
        yield opened


@pytest.fixture
def settings(database_url: str, redis: Redis, redis_server: RedisServer, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_server.url, data_dir=tmp_path, log_level="WARNING")


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with browsing(settings) as client:
        yield client
