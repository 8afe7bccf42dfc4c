"""A worker with child processes that the tests of a module share, on the loop of that module."""

import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import jobs
from service.settings import Settings
from tests.service.worker.desk import Desk, open_desk
from tests.support import process_kinds as kinds
from tests.support.processing import written
from tests.support.running import running_worker
from tests.support.servers import RedisServer

MODULE = "tests.support.process_kinds"


@pytest.fixture(scope="module")
def shared_settings(
    tmp_path_factory: pytest.TempPathFactory, short_dir: Path, sqlite_template: Path
) -> Iterator[Settings]:
    """Settings of the worker that tests share, with a Redis that no test empties."""
    folder = tmp_path_factory.mktemp("shared")
    ours: dict[str, Any] = {"jobs": (MODULE,), "processes": 2, "grace_s": 0.2}
    shutil.copy(sqlite_template, folder / "postlude.db")
    redis = RedisServer(short_dir / "shared")
    redis.start()
    url = f"sqlite+aiosqlite:///{folder / 'postlude.db'}"
    yield Settings(database_url=url, redis_url=redis.url, data_dir=folder, log_level="WARNING", **ours)
    redis.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(shared_settings: Settings) -> AsyncIterator[Desk]:
    """A desk at which the shared worker works."""
    catalogue = jobs.load((MODULE,))
    async with open_desk(shared_settings, *catalogue.values()) as opened, running_worker(shared_settings, catalogue):
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbour(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that runs in the shared worker's other child, to the end of this module."""
    path = tmp_path_factory.mktemp("neighbour") / "pids"
    job_id = await desk.enqueue(kinds.hang, {"how": "asleep", "path": str(path)}, timeout=timedelta(minutes=10))
    await written(path)
    return job_id
