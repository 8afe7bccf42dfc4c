"""For the fault suite: which tests run in the short form, seeds, servers that may be broken, and the figures."""

import itertools
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.features import FEATURES
from service.ledger import migrate
from service.settings import Settings
from tests.faults.form import WHOLE, Figures
from tests.faults.system import System
from tests.support.servers import PostgresServer, RedisServer

FIGURES = "figures"
_numbers = itertools.count(1)


@pytest.fixture
def seed() -> int:
    """The seed of the schedule of faults; a failing test shows it, and FAULTS_SEED repeats it."""
    seed = int(os.environ.get("FAULTS_SEED") or random.randrange(1_000_000))
    print(f"FAULTS_SEED={seed}")  # noqa: T201 - pytest shows the seed with a failure
    return seed


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def whole() -> bool:
    """Whether the whole form runs, which repeats more and takes longer."""
    return WHOLE


@pytest.fixture
def own_redis(short_dir: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, which it may break."""
    server = RedisServer(short_dir / f"redis{next(_numbers)}")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_postgres(short_dir: Path, postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A Postgres of this test's own, which it may break, with the run's migrated template."""
    server = PostgresServer(short_dir / f"pg{next(_numbers)}", options=("-c", "fsync=off"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def hurt_url(own_postgres: PostgresServer, tmp_path: Path) -> str:
    """A migrated database of `own_postgres`."""
    url = own_postgres.create_database("hurt")
    await migrate.upgrade(Settings(database_url=url, data_dir=tmp_path), [one.schema for one in FEATURES])
    return url


@pytest.fixture
async def hurt(hurt_url: str, own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[System]:
    """A system over a Postgres of its own."""
    made = System(tmp_path, hurt_url, own_redis.url)
    yield made
    await made.stop()


@pytest.fixture
async def system(database_url: str, own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[System]:
    """A system over a fresh database and a Redis of its own, not started yet. At the end its processes are stopped."""
    made = System(tmp_path, database_url, own_redis.url)
    yield made
    await made.stop()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    def note(fault: str, **measured: float) -> None:
        database = next((name for name in ("sqlite", "postgres") if name in request.node.nodeid), "both")
        name = request.node.nodeid.removeprefix("tests/").partition("[")[0]
        noted = {"fault": fault, "database": database, "test": name} | measured
        request.node.user_properties.append((FIGURES, json.dumps(noted)))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the figures, and append them to the file FAULTS_REPORT as lines of JSON."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    noted = [
        json.loads(value)
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == FIGURES
    ]
    if not noted:
        return
    terminalreporter.section("faults: what was measured")
    for one in noted:
        shown = ", ".join(f"{name} {value}" for name, value in one.items() if name not in ("fault", "database", "test"))
        terminalreporter.write_line(f"{one['fault']:<55} {one['database']:<9} {shown}")
    if path := os.environ.get("FAULTS_REPORT"):
        with Path(path).open("a") as report:
            report.writelines(json.dumps(one) + "\n" for one in noted)
