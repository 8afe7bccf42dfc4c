"""Whatever is killed: what an app has accepted whose background tasks are jobs runs, and it accepts nothing else."""

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from signal import Signals

import pytest

from tests.faults.failpoint_api import FAILPOINT, FAILPOINTS
from tests.faults.fleet import NO_ANSWER, Fleet, fleet
from tests.faults.form import Figures
from tests.faults.system import API, System
from tests.support.servers import PostgresServer, RedisServer

IN_FLIGHT = 1_000
MORTAL_API = (sys.executable, "-m", "tests.faults.failpoint_api", "api")
# Longer than a response waits for its tasks to be recorded.
DOWN_S = 6.0


async def with_requests_in_flight(app: Fleet, chance: random.Random) -> list[asyncio.Task[None]]:
    """Send a thousand requests at once; return when some of them have been accepted."""
    before = len(app.accepted)
    asking = [asyncio.create_task(app.insist()) for _ in range(IN_FLIGHT)]
    await app.has_accepted(before + chance.randint(1, IN_FLIGHT // 3))
    return asking


@pytest.mark.short("sqlite")
async def test_what_an_app_accepted_before_kill_9_runs_in_the_next_one(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    await system.start(workers=0)
    async with fleet(system) as app:
        for _ in range(5 if whole else 1):
            asking = await with_requests_in_flight(app, chance)
            before = app.answers[NO_ANSWER]
            await app.replicas[0].kill()
            await asyncio.gather(*asking)
            assert app.answers[NO_ANSWER] > before, "the app died too late"
            await app.check_recorded()
            await app.start()
        system.add_worker()
        ended = await app.check()
    figures("app kill -9, 1,000 requests in flight", **ended)


async def test_what_an_app_accepted_runs_though_it_is_killed_while_it_is_called(
    system: System, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=1)
    async with fleet(system) as app:
        for _ in range(3):
            asking = await with_requests_in_flight(app, chance)
            await app.replicas[0].kill()
            await asyncio.gather(*asking)
            await app.start()
        ended = await app.check(300)
    figures("app kill -9 while it is called", **ended)


@pytest.mark.short("postgres")
async def test_what_replicas_behind_one_address_accepted_runs_though_one_after_the_other_is_killed(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    await system.start(workers=1)
    async with fleet(system, replicas=2) as app:
        async with app.asked():
            for number in range(6 if whole else 2):
                await app.has_accepted(len(app.accepted) + chance.randint(20, 100))
                await app.replicas[number % 2].kill()
                await app.has_accepted(len(app.accepted) + 20)
                app.replicas[number % 2].start()
        ended = await app.check(300)
    figures("replicas of an app kill -9 in turns", **ended)


Strike = Callable[[System, RedisServer, PostgresServer], Awaitable[None]]


async def api_killed(system: System, _redis: RedisServer, _postgres: PostgresServer) -> None:
    await system.api.kill()
    await asyncio.sleep(DOWN_S)
    system.api.start()


async def worker_killed(system: System, _redis: RedisServer, _postgres: PostgresServer) -> None:
    await system.workers.pop().kill()
    system.add_worker()


async def redis_killed(_system: System, redis: RedisServer, _postgres: PostgresServer) -> None:
    await asyncio.to_thread(redis.stop)
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(redis.start)


async def database_crashed(_system: System, _redis: RedisServer, postgres: PostgresServer) -> None:
    await asyncio.to_thread(postgres.stop, Signals.SIGQUIT)
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(postgres.start)


@pytest.mark.short("api_killed")
@pytest.mark.parametrize("strike", [api_killed, worker_killed, redis_killed, database_crashed])
async def test_an_app_accepts_only_what_is_recorded_while_the_service_is_hurt(
    hurt: System, own_redis: RedisServer, own_postgres: PostgresServer, strike: Strike, figures: Figures
) -> None:
    await hurt.start(workers=1)
    async with fleet(hurt) as app:
        async with app.asked():
            await app.has_accepted(50)
            await strike(hurt, own_redis, own_postgres)
            await app.serves()
            await app.has_accepted(len(app.accepted) + 50)
        ended = await app.check()
    assert app.answers.keys() <= {200, 503}, "the app itself was never away"
    if strike in (api_killed, database_crashed):
        assert app.answers[503]
    else:
        assert not app.answers[503], "what is accepted needs neither Redis nor a worker"
    figures(f"app, while the service has its {strike.__name__.replace('_', ' ')}", refused=app.answers[503], **ended)


@pytest.mark.short("postgres", "between_commit_and_dispatch")
@pytest.mark.parametrize("point", FAILPOINTS)
async def test_a_task_is_one_job_though_the_api_died_at_any_point_before_its_answer(
    system: System, point: Callable[[], None]
) -> None:
    system.api.start()
    await system.ready()
    async with fleet(system) as app:
        await system.api.kill()
        system.api = system.process(MORTAL_API)
        system.api.environment[FAILPOINT] = point.__name__
        system.api.start()
        await system.ready()
        asking = [asyncio.create_task(app.ask()) for _ in range(10)]
        assert await system.api.ended(60) == -9
        system.api = system.process(API)
        system.api.start()
        await asyncio.gather(*asking)
        system.add_worker()
        await app.check()
