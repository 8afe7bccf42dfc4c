"""Fixtures: a real Redis and a real Postgres for the run, and a ledger on each database for a test."""

import asyncio
import contextlib
import fcntl
import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.asyncio import Redis

from service import heap
from service.feature import belongings_of
from service.features import FEATURES
from service.ledger import migrate
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.faults.form import apply_form
from tests.support.forked_suspects import suspects_forked
from tests.support.lane_kinds import gauge
from tests.support.scratch import scratch
from tests.support.servers import PostgresServer, RedisServer
from tests.support.sharing import sharing

_TESTS = Path(__file__).parent
_numbers = itertools.count(1)
# Of an error, structlog's own would draw the code and the variables of each frame: a second each.
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
_ended, _FROZEN_EVERY = itertools.count(1), 100
# Young objects are looked through less often than by default, and all objects only by `pytest_runtest_logfinish`.
_THRESHOLDS = 10_000, 10, 1_000


def pytest_configure() -> None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(scratch()))


def pytest_collectstart() -> None:
    """Look for no garbage until all is imported and collected: what that makes stays."""
    gc.disable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each process of xdist begin with its share of the long tests, so that none is left over at the end.

    `--dist worksteal` deals the tests in as many runs as there are processes.
    """
    apply_form(config, items)
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if _is_long(item.path)]
    short = [item for item in items if not _is_long(item.path)]
    bounds = [len(short) * number // processes for number in range(processes + 1)]
    shares = (long[number::processes] + short[slice(*bounds[number : number + 2])] for number in range(processes))
    if processes > 1:
        items[:] = [item for share in shares for item in share]


@cache
def _is_long(module: Path) -> bool:
    """Whether the tests of a module run the product as processes, or another program over all of it."""
    return module.parent in (_TESTS, _TESTS / "faults") or module.stem in ("test_schemathesis", "test_isolated")


def pytest_collection_finish() -> None:
    """Keep all that is imported by now out of the garbage collector's sight: half a million objects, and they stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Do the same now and then: libraries keep what tests made them compile, and a walk over it takes a while."""
    if next(_ended) % _FROZEN_EVERY == 0:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def heap_is_frozen_once() -> Iterator[None]:
    """Let no API and no worker look through this process's heap at its start: that takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heap, "gc_frozen", contextlib.nullcontext)
        yield


@pytest.fixture(scope="session")
def shared_dir(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if hasattr(pytestconfig, "workerinput") else own


@pytest.fixture(scope="session", autouse=True)
def work_is_shared(shared_dir: Path) -> Iterator[None]:
    """Let clients, engines and pages share what each would make anew; see `tests/support/sharing.py`."""
    templates = shared_dir / "templates"
    templates.mkdir(exist_ok=True)
    with sharing(templates):
        yield


@pytest.fixture(autouse=True)
def loggers_are_asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep loggers from being cached: one that was first used in another test would not be captured in this one."""
    configure = structlog.configure
    uncached: dict[str, Any] = {"cache_logger_on_first_use": False}
    configure(processors=[structlog.stdlib.add_log_level, structlog.dev.set_exc_info, _PLAIN], **uncached)
    monkeypatch.setattr(structlog, "configure", lambda **options: configure(**options | uncached))
    yield
    structlog.reset_defaults()


def _migrate(settings: Settings) -> None:
    """Migrate in a thread: the first to ask for a database may be an asynchronous fixture, whose loop is running."""
    upgrade = migrate.upgrade(settings, [feature.schema for feature in FEATURES])
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, upgrade).result()


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """A folder with a path short enough for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="pl-", dir=scratch()))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, short_dir: Path, shared_dir: Path) -> Iterator[PostgresServer]:
    """This process's Postgres, with the migrated database `template_postlude` to copy from.

    The first process that needs one makes it, and leaves a copy for the others.
    """
    # Databases are made by the hundred here, and none has to outlive a power cut. Those whose plans are looked at are
    # analysed by their tests, and by nobody in between.
    server = PostgresServer(short_dir / "pg", options=("-c", "fsync=off", "-c", "autovacuum=off"))
    cluster = shared_dir / "cluster"
    with (shared_dir / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if cluster.exists():
            server.begin_with(cluster)
            server.start()
        else:
            server.start()
            url = server.create_database("template_postlude")
            _migrate(Settings(database_url=url, data_dir=short_dir))
            if hasattr(pytestconfig, "workerinput"):
                server.leave(cluster)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_server(short_dir: Path) -> Iterator[RedisServer]:
    """The run's Redis; `redis_url` empties it for each test."""
    server = RedisServer(short_dir / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = Redis.from_url(redis_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def sqlite_template(short_dir: Path) -> Path:
    """A migrated SQLite database to copy from."""
    path = short_dir / "template.db"
    _migrate(Settings(database_url=f"sqlite+aiosqlite:///{path}", data_dir=short_dir))
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh migrated database: the test runs once for each sort."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "postlude.db")
        yield f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{next(_numbers)}"
    yield server.create_database(name, template="template_postlude")
    server.drop_database(name)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    """An empty ledger, on each database in turn."""
    belongings = belongings_of(FEATURES)
    async with Ledger.open(database_url, retention=timedelta(days=30), belongings=belongings) as opened:
        yield opened


@pytest.fixture
def swept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sweeps of this process dispatch new jobs too, and see in each pass whether Redis has forgotten all."""
    monkeypatch.setattr("service.ledger.reads.dispatching.GRACE_BEFORE_DISPATCH", timedelta(0))
    monkeypatch.setattr("service.worker.keeping.queue_watch._READ_EPOCH_EVERY_S", 0.0)


@pytest.fixture
def fresh_gauge() -> Iterator[None]:
    """Begin anew what the kinds of `lane_kinds` note, and let none of them go on waiting."""
    gauge.__init__()  # type: ignore[misc]
    yield
    gauge.go_on.set()


@pytest.fixture
def forked_suspects() -> Iterator[None]:
    """Fork the processes of isolated attempts: to start one takes longer than most of them run."""
    with suspects_forked():
        yield


@pytest.fixture
def settings(database_url: str, redis: Redis, redis_server: RedisServer, tmp_path: Path) -> Settings:
    """Settings for an API and workers over a fresh database and an empty Redis."""
    given = frozenset(one for one in os.environ.items() if one[0].startswith("POSTLUDE_"))
    servers = {"database_url": database_url, "redis_url": redis_server.url}
    return _settings_in(given).model_copy(update=servers | {"data_dir": tmp_path / "data"})


@cache
def _settings_in(_environment: frozenset[tuple[str, str]]) -> Settings:
    """Read the settings once: to look for each of them in the environment takes as long as a short test."""
    return Settings(
        webhook_allow="127.0.0.0/8,::1/128", app_allow="127.0.0.0/8,::1/128", log_level="WARNING", grace_s=5
    )
