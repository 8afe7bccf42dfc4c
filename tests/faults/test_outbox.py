"""The app, the relay or a database dies: what was rolled back is no job, what was committed is exactly one."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import Signals

import pytest

from tests.faults.failpoint_relay import FAILPOINT, FAILPOINTS
from tests.faults.form import Figures
from tests.faults.orders import create, one_job_each, placed
from tests.faults.system import Process, System
from tests.support.processes import environment
from tests.support.running import eventually
from tests.support.servers import PostgresServer, RedisServer


def ordering(system: System, url: str, chance: random.Random) -> Process:
    """Start an application that places orders."""
    argv = (sys.executable, "-m", "tests.faults.outbox_app", url, str(chance.random()))
    app = Process(argv, environment(), system.folder / "app.log")
    app.start()
    return app


@asynccontextmanager
async def ordered(system: System, url: str, chance: random.Random) -> AsyncIterator[None]:
    """Let an application place orders until the end of the block, and then kill it."""
    app = ordering(system, url, chance)
    await has_placed(url, 1)
    yield
    before = len(await placed(url))
    await has_placed(url, before + 1)
    await app.kill()


async def has_placed(url: str, count: int) -> None:
    async def enough() -> bool:
        return len(await placed(url)) >= count

    await eventually(enough, 60)


@pytest.mark.short("sqlite")
async def test_an_app_killed_in_the_middle_has_one_job_for_each_commit(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    await create(system.database_url)
    await system.start(workers=1)
    for _ in range(10 if whole else 2):
        app = ordering(system, system.database_url, chance)
        await has_placed(system.database_url, len(await placed(system.database_url)) + chance.randint(10, 50))
        await app.kill()
    figures("outbox: app kill -9", jobs=await one_job_each(system, system.database_url), lost=0, doubled=0)


@pytest.mark.short("postgres", "between_commit_and_delete")
@pytest.mark.parametrize("failpoint", FAILPOINTS)
async def test_a_relay_killed_between_any_two_steps_makes_one_job_for_each_commit(
    system: System, chance: random.Random, whole: bool, failpoint: str
) -> None:
    await create(system.database_url)
    system.api.start()
    await system.ready()
    app = ordering(system, system.database_url, chance)
    await has_placed(system.database_url, 20)
    for _ in range(2 if whole else 1):
        mortal = system.process((sys.executable, "-m", "tests.faults.failpoint_relay"), "mortal")
        mortal.environment[FAILPOINT] = failpoint
        mortal.start()
        assert await mortal.ended(60) == -9, mortal.log
    await app.kill()
    await system.registered(system.add_worker())
    assert await one_job_each(system, system.database_url) >= 20


async def test_relays_killed_again_and_again_make_one_job_for_each_commit(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await create(system.database_url)
    await system.start(workers=2)
    async with ordered(system, system.database_url, chance):
        for _ in range(10 if whole else 3):
            await asyncio.sleep(1)
            await system.workers.pop(0).kill()
            await system.registered(system.add_worker())
    figures("outbox: relay kill -9", jobs=await one_job_each(system, system.database_url), lost=0)


@pytest.mark.short
async def test_a_database_that_crashes_makes_one_job_for_each_commit(
    hurt: System, own_postgres: PostgresServer, chance: random.Random, whole: bool, figures: Figures
) -> None:
    await create(hurt.database_url)
    await hurt.start(workers=1)
    async with ordered(hurt, hurt.database_url, chance):
        for _ in range(5 if whole else 2):
            await asyncio.sleep(1)
            await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
            await asyncio.sleep(1)
            await asyncio.to_thread(own_postgres.start)
            await has_placed(hurt.database_url, len(await placed(hurt.database_url)) + 1)
    figures("outbox: Postgres immediate stop", jobs=await one_job_each(hurt, hurt.database_url), lost=0, doubled=0)


async def test_an_outbox_that_crashes_apart_from_the_ledger_makes_one_job_for_each_commit(
    sqlite_template: Path, own_redis: RedisServer, own_postgres: PostgresServer, tmp_path: Path, chance: random.Random
) -> None:
    ledger = tmp_path / "ledger.db"
    ledger.write_bytes(sqlite_template.read_bytes())
    app_url = own_postgres.create_database("app")
    await create(app_url)
    system = System(tmp_path, f"sqlite+aiosqlite:///{ledger}", own_redis.url, OUTBOX_URLS=app_url)
    try:
        await system.start(workers=1)
        async with ordered(system, app_url, chance):
            for _ in range(3):
                await asyncio.sleep(1)
                await asyncio.to_thread(own_postgres.stop, Signals.SIGQUIT)
                await asyncio.sleep(1)
                await asyncio.to_thread(own_postgres.start)
                await has_placed(app_url, len(await placed(app_url)) + 1)
        assert await one_job_each(system, app_url)
    finally:
        await system.stop()
