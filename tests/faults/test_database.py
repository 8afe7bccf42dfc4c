"""A database that dies, hangs, is slow, locked or full: 503 in bounded time; every outcome is written afterwards."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals

import pytest

from service.features import FEATURES
from service.ledger import migrate
from service.settings import Settings
from tests.faults.form import Figures
from tests.faults.load import Load, loading
from tests.faults.network import network_faults
from tests.faults.system import System
from tests.faults.verdict import Verdict, verdict
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import eventually
from tests.support.servers import PostgresServer, RedisServer

# 5 s are promised; a machine that runs other tests as well may stall for as long again.
ANSWERED_WITHIN_S = 10.0
RECOVERED_WITHIN_S = 30.0


@pytest.fixture
async def proxied(
    hurt_url: str, own_postgres: PostgresServer, own_redis: RedisServer, tmp_path: Path
) -> AsyncIterator[tuple[System, FaultProxy]]:
    """A system that reaches its Postgres through a proxy."""
    async with proxying(own_postgres.folder / ".s.PGSQL.5432") as proxy:
        through = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/hurt"
        made = System(tmp_path, hurt_url, own_redis.url, DATABASE_URL=through)
        yield made, proxy
        proxy.heal()
        await made.stop()


@pytest.mark.short
async def test_postgres_that_crashes_and_restarts_under_load_loses_nothing(
    hurt: System, own_postgres: PostgresServer, chance: random.Random, whole: bool, figures: Figures
) -> None:
    await hurt.start(workers=2 if whole else 1)
    async with loading(hurt, chance) as load:
        for _ in range(3 if whole else 1):
            await asyncio.sleep(1)
            await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
            await asyncio.sleep(5 if whole else 2)
            await asyncio.to_thread(own_postgres.start)
            healed_at = datetime.now(UTC)
        await asyncio.sleep(1)
    await _judge(hurt, load, healed_at, "Postgres immediate stop, start", figures)


async def test_postgres_frozen_for_15_s_under_load_loses_nothing(
    hurt: System, own_postgres: PostgresServer, chance: random.Random, figures: Figures
) -> None:
    await hurt.start(workers=2)
    async with loading(hurt, chance) as load:
        await asyncio.sleep(1)
        frozen = _with_children(own_postgres)
        for pid in frozen:
            subprocess.run(["kill", "-STOP", str(pid)], check=False)
        await asyncio.sleep(15)
        for pid in frozen:
            subprocess.run(["kill", "-CONT", str(pid)], check=False)
        healed_at = datetime.now(UTC)
        await asyncio.sleep(1)
    await _judge(hurt, load, healed_at, "Postgres SIGSTOP for 15 s", figures)


def _with_children(server: PostgresServer) -> list[int]:
    """Return the pids of the server's processes; each has a session of its own, so there is no group to signal."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


NETWORK_FAULTS = network_faults(black_hole_s=15, latency_s=0.1, jitter_s=0.1, slice_bytes=50)


@pytest.mark.parametrize("name", NETWORK_FAULTS)
async def test_network_fault_on_the_way_to_postgres_loses_nothing(
    proxied: tuple[System, FaultProxy], chance: random.Random, name: str, figures: Figures
) -> None:
    system, proxy = proxied
    proxy.chance = chance
    await system.start(workers=2)
    async with loading(system, chance) as load:
        await asyncio.sleep(1)
        await NETWORK_FAULTS[name](proxy)
        proxy.heal()
        healed_at = datetime.now(UTC)
        await asyncio.sleep(1)
    await _judge(system, load, healed_at, f"Postgres {name}", figures)


async def test_worker_stops_in_time_while_postgres_is_a_black_hole(
    proxied: tuple[System, FaultProxy], figures: Figures
) -> None:
    system, proxy = proxied
    await system.start(workers=1)
    load = Load("fault_once")
    await load.post(system.client, "s", {"seconds": 60})
    await eventually(lambda: _all_run(system, load))
    proxy.black_hole = True
    told_at = datetime.now(UTC)
    system.workers[0].send(Signals.SIGTERM)
    grace_s = float(system.settings["GRACE_S"])
    await system.workers[0].ended(grace_s + 5 + 5)
    stopped_after_s = (datetime.now(UTC) - told_at).total_seconds()
    assert stopped_after_s <= grace_s + 5 + 1  # the last second allows for a machine that stalls
    figures("SIGTERM, grace 5 s, Postgres a black hole", stopped_after_s=round(stopped_after_s, 1))


async def test_jobs_of_living_workers_are_not_rescued_after_an_outage_of_60_s(
    hurt: System, own_postgres: PostgresServer, figures: Figures
) -> None:
    await hurt.start(workers=3)
    load = Load("fault_once")
    for number in range(30):
        await load.post(hurt.client, f"j{number}", {"seconds": 10 + 2 * number})
    await eventually(lambda: _all_run(hurt, load))
    await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
    await asyncio.sleep(60)
    await asyncio.to_thread(own_postgres.start)
    ended = await verdict(hurt, load)
    assert {tuple(ended.outcomes(job_id)) for job_id in ended.rows} == {("succeeded",)}
    figures("database away for 60 s, jobs running", **ended.figures, crashed=ended.crashed)


async def test_jobs_of_living_workers_are_not_rescued_after_sqlite_was_locked_for_60_s(
    sqlite_system: System, figures: Figures
) -> None:
    await sqlite_system.start(workers=3)
    load = Load("fault_once")
    for number in range(30):
        await load.post(sqlite_system.client, f"j{number}", {"seconds": 10 + 2 * number})
    await eventually(lambda: _all_run(sqlite_system, load))
    async with _write_locked(sqlite_system):
        await asyncio.sleep(60)
    ended = await verdict(sqlite_system, load)
    assert {tuple(ended.outcomes(job_id)) for job_id in ended.rows} == {("succeeded",)}
    figures("sqlite: write lock held for 60 s, jobs running", **ended.figures, crashed=ended.crashed)


async def test_sqlite_locked_by_another_process_for_10_s_loses_nothing(
    sqlite_system: System, chance: random.Random, figures: Figures
) -> None:
    await sqlite_system.start(workers=2)
    async with loading(sqlite_system, chance) as load:
        await asyncio.sleep(1)
        async with _write_locked(sqlite_system):
            await asyncio.sleep(10)
        healed_at = datetime.now(UTC)
        await asyncio.sleep(1)
    await _judge(sqlite_system, load, healed_at, "sqlite: write lock held for 10 s", figures)


async def test_sqlite_on_a_full_disk_accepts_nothing_falsely_and_goes_on_when_there_is_room(
    small_disk: Path, own_redis: RedisServer, tmp_path: Path, chance: random.Random, figures: Figures
) -> None:
    url = f"sqlite+aiosqlite:///{small_disk / 'postlude.db'}"
    await migrate.upgrade(Settings(database_url=url, data_dir=tmp_path), [one.schema for one in FEATURES])
    system = System(tmp_path, url, own_redis.url)
    ballast = small_disk / "ballast"
    try:
        await system.start(workers=1)
        ballast.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 2_000_000))
        async with loading(system, chance, args=_wide, pause_s=0.01) as load:

            async def is_full() -> bool:
                return bool(load.answers[503] + load.answers[507])

            await eventually(is_full, 60)
            await asyncio.sleep(3)
            ballast.unlink()
            healed_at = datetime.now(UTC)
            await asyncio.sleep(1)
        await _judge(system, load, healed_at, "sqlite: disk full", figures, refusals={503, 507})
    finally:
        await system.stop()


def _wide(_chance: random.Random) -> dict[str, str]:
    return {"text": "x" * 20_000}


@pytest.fixture
async def sqlite_system(sqlite_template: Path, own_redis: RedisServer, tmp_path: Path) -> AsyncIterator[System]:
    path = tmp_path / "postlude.db"
    shutil.copy(sqlite_template, path)
    made = System(tmp_path, f"sqlite+aiosqlite:///{path}", own_redis.url)
    yield made
    await made.stop()


@pytest.fixture
def small_disk(short_dir: Path) -> Iterator[Path]:
    """A file system of 64 MB, if this user may mount one."""
    folder = short_dir / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@asynccontextmanager
async def _write_locked(system: System) -> AsyncIterator[None]:
    """Hold SQLite's write lock, like another program with an open transaction."""
    path = system.database_url.removeprefix("sqlite+aiosqlite:///")
    with closing(sqlite3.connect(path, timeout=30, check_same_thread=False)) as other:
        await asyncio.to_thread(_begin, other)
        yield
        other.execute("ROLLBACK")


def _begin(other: sqlite3.Connection) -> None:
    other.isolation_level = None
    other.execute("BEGIN IMMEDIATE")


async def _all_run(system: System, load: Load) -> bool:
    answers = [await system.client.get(f"/v1/jobs/{job_id}") for job_id in load.accepted]
    return all(answer.json()["state"] == "running" for answer in answers)


async def _judge(
    system: System,
    load: Load,
    healed_at: datetime,
    name: str,
    figures: Figures,
    refusals: frozenset[int] | set[int] = frozenset({503}),
) -> Verdict:
    ended = await verdict(system, load)
    recovered_after_s = ended.recovered_after_s(healed_at, load)
    slowest_s = round(load.slowest_s, 1)
    figures(
        name,
        **ended.figures,
        refused=load.answers.total() - load.answers[202],
        recovered_after_s=recovered_after_s,
        slowest_answer_s=slowest_s,
    )
    assert set(load.answers) <= {202, *refusals}
    assert slowest_s <= ANSWERED_WITHIN_S
    assert recovered_after_s <= RECOVERED_WITHIN_S
    assert not ended.crashed
    return ended
