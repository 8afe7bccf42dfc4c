"""A Redis that dies, forgets, refuses, hangs or is slow: the API keeps accepting, and all is dispatched afterwards."""

import asyncio
import contextlib
import random
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals

import pytest

from tests.faults.form import Figures
from tests.faults.load import Load, loading
from tests.faults.network import network_faults
from tests.faults.redis_faults import FAULTS, client_of, flushed, killed_and_restarted
from tests.faults.system import System
from tests.faults.verdict import verdict
from tests.support.proxy import proxying
from tests.support.servers import RedisServer

DISPATCHED_WITHIN_S = 30.0
# 5 s are promised; a machine that runs other tests as well may stall for as long again.
ANSWERED_WITHIN_S = 10.0


@pytest.mark.parametrize("name", FAULTS)
async def test_redis_fault_under_load_loses_nothing_and_the_api_accepts_meanwhile(
    system: System, own_redis: RedisServer, chance: random.Random, name: str, figures: Figures
) -> None:
    await system.start(workers=2)
    async with loading(system, chance) as load:
        await asyncio.sleep(1)
        await FAULTS[name](own_redis)
        healed_at = datetime.now(UTC)
        await asyncio.sleep(1)
    await _judge(system, load, healed_at, f"Redis {name}", figures)


@pytest.mark.short("sqlite")
async def test_redis_killed_then_flushed_under_load_loses_nothing(
    system: System, own_redis: RedisServer, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=1)
    async with loading(system, chance) as load:
        await asyncio.sleep(0.5)
        await killed_and_restarted(own_redis)
        await flushed(own_redis)
        healed_at = datetime.now(UTC)
        await asyncio.sleep(0.5)
    await _judge(system, load, healed_at, "Redis killed, then flushed", figures)


async def test_single_members_evicted_from_the_queue_are_dispatched_again(
    system: System, own_redis: RedisServer, chance: random.Random, figures: Figures
) -> None:
    await system.start(workers=1)
    # The worker is full, so that the other jobs wait on the queue, and it leads the sweep.
    system.settings["MAX_JOBS"] = "2"
    await system.workers.pop().kill()
    await system.registered(system.add_worker())
    load = Load()
    for number in range(2):
        await load.post(system.client, f"long{number}", {"seconds": 8})
    for number in range(40):
        await load.post(system.client, f"short{number}", {})
    async with client_of(own_redis) as client:
        waiting = await client.zrange("arq:queue", 0, -1)
        evicted = chance.sample(waiting, len(waiting) // 2)
        assert evicted
        await client.zrem("arq:queue", *evicted)
        await client.delete(*(b"arq:job:" + member for member in evicted))
    healed_at = datetime.now(UTC)
    await _judge(system, load, healed_at, "Redis evicted single members", figures)


NETWORK_FAULTS = network_faults(black_hole_s=10, latency_s=0.2, jitter_s=0.3, slice_bytes=7)


@pytest.mark.parametrize("name", NETWORK_FAULTS)
async def test_network_fault_on_the_way_to_redis_loses_nothing_and_the_api_accepts_meanwhile(
    database_url: str, own_redis: RedisServer, tmp_path: Path, chance: random.Random, name: str, figures: Figures
) -> None:
    async with proxying(own_redis.socket) as proxy:
        proxy.chance = chance
        system = System(tmp_path, database_url, own_redis.url, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        try:
            await system.start(workers=2)
            async with loading(system, chance) as load:
                await asyncio.sleep(1)
                await NETWORK_FAULTS[name](proxy)
                proxy.heal()
                healed_at = datetime.now(UTC)
                await asyncio.sleep(1)
            await _judge(system, load, healed_at, f"Redis {name}", figures)
        finally:
            await system.stop()


async def test_worker_stops_in_time_while_redis_is_a_black_hole(
    database_url: str, own_redis: RedisServer, tmp_path: Path, figures: Figures
) -> None:
    async with proxying(own_redis.socket) as proxy:
        system = System(tmp_path, database_url, own_redis.url, REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        try:
            await system.start(workers=1)
            load = Load("fault_once")
            await load.post(system.client, "s", {"seconds": 60})
            await asyncio.sleep(1)
            proxy.black_hole = True
            await asyncio.sleep(1)
            told_at = datetime.now(UTC)
            system.workers[0].send(Signals.SIGTERM)
            grace_s = float(system.settings["GRACE_S"])
            await system.workers[0].ended(grace_s + 5 + 5)
            stopped_after_s = (datetime.now(UTC) - told_at).total_seconds()
            assert stopped_after_s <= grace_s + 5 + 1
            figures("SIGTERM, grace 5 s, Redis a black hole", stopped_after_s=round(stopped_after_s, 1))
        finally:
            with contextlib.suppress(TimeoutError):
                await system.stop()


async def _judge(system: System, load: Load, healed_at: datetime, name: str, figures: Figures) -> None:
    ended = await verdict(system, load)
    recovered_after_s = ended.recovered_after_s(healed_at, load)
    slowest_s = round(load.slowest_s, 1)
    figures(name, **ended.figures, recovered_after_s=recovered_after_s, slowest_answer_s=slowest_s)
    assert set(load.answers) == {202}
    assert slowest_s <= ANSWERED_WITHIN_S
    assert recovered_after_s <= DISPATCHED_WITHIN_S
    assert not ended.crashed
