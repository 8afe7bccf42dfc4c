"""Dispatching: many at once share a call, and a Redis that is away holds nobody up."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from redis.asyncio import Redis
from structlog.testing import capture_logs

from service import metrics
from service.ledger.reads.dispatching import HORIZON
from service.lifecycle.dispatch import Dispatcher
from service.queue import NO_CLAIM_MS, Entry, Queue, Release, key_of, open_redis
from tests.support.cancelling import cancel_unbegun
from tests.support.proxy import FaultProxy, proxying
from tests.support.servers import RedisServer


def entry(job_id: str, *, due_in: timedelta = timedelta(0)) -> Entry:
    return Entry(job_id, "greet", "default", datetime.now(UTC) + due_in)


def _failures() -> float:
    [counter] = metrics.dispatch_failures.collect()
    return counter.samples[0].value


@pytest.fixture
async def proxy(redis: Redis, redis_server: RedisServer, short_dir: Path) -> AsyncIterator[FaultProxy]:
    """A way to an empty Redis that a test can block."""
    async with proxying(redis_server.socket, short_dir / "dispatch.sock") as opened:
        yield opened


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[ArqRedis]:
    opened = open_redis(f"unix://{proxy.listen}")
    yield opened
    await opened.aclose(close_connection_pool=True)


async def test_simultaneous_dispatches_share_one_call(redis: Redis, client: ArqRedis) -> None:
    dispatcher = Dispatcher(Queue(client))
    await redis.config_resetstat()
    await asyncio.gather(*(dispatcher.put([entry(f"job-{number}")]) for number in range(50)))
    assert await redis.zcard(key_of("default")) == 50
    calls = await redis.info("commandstats")
    assert calls["cmdstat_evalsha"]["calls"] <= 2  # one more, where Redis did not have the script yet


async def test_a_put_that_is_cancelled_before_its_first_step_holds_nobody_up(redis: Redis, client: ArqRedis) -> None:
    dispatcher = Dispatcher(Queue(client))
    putting = asyncio.create_task(dispatcher.put([entry("a")]))
    await asyncio.sleep(0)
    before = _failures()
    with capture_logs() as logs:
        await cancel_unbegun("dispatch")
    assert [(one["event"], one["jobs"]) for one in logs] == [("dispatch_failed", 1)]
    assert _failures() == before + 1
    async with asyncio.timeout(10):
        await putting
        await dispatcher.put([entry("b")])
    assert await redis.zrange(key_of("default"), 0, -1) == [b"b"]


async def test_jobs_due_beyond_the_horizon_are_left_to_the_sweep(redis: Redis, client: ArqRedis) -> None:
    await Dispatcher(Queue(client)).put([entry("soon", due_in=HORIZON / 2), entry("later", due_in=2 * HORIZON)])
    assert await redis.zrange(key_of("default"), 0, -1) == [b"soon"]


async def test_a_silent_redis_is_hardly_waited_for_a_second_time_and_used_as_soon_as_it_answers(
    redis: Redis, client: ArqRedis, proxy: FaultProxy
) -> None:
    dispatcher = Dispatcher(Queue(client))
    await dispatcher.put([entry("before")])
    proxy.black_hole = True
    took = []
    with capture_logs() as logs:
        for number in range(2):
            began = time.monotonic()
            await dispatcher.put([entry(f"silent-{number}")])
            took.append(time.monotonic() - began)
    assert [one["event"] for one in logs] == ["dispatch_failed"] * 2
    assert took[1] < took[0] / 2
    proxy.black_hole = False
    await client.connection_pool.disconnect()
    await dispatcher.put([entry("after")])
    assert {b"before", b"after"} <= set(await redis.zrange(key_of("default"), 0, -1))


async def test_a_silent_redis_is_hardly_waited_for_when_jobs_leave_their_lanes(
    client: ArqRedis, proxy: FaultProxy
) -> None:
    dispatcher = Dispatcher(Queue(client))
    await dispatcher.put([entry("before")])
    proxy.black_hole = True
    releases = [Release(f"job-{number}", (f"tenant:{number}",), claim_ms=NO_CLAIM_MS) for number in range(1_000)]
    with capture_logs() as logs:
        began = time.monotonic()
        await dispatcher.release(releases)
        first_s, began = time.monotonic() - began, time.monotonic()
        await asyncio.gather(*(dispatcher.release([one]) for one in releases[:10]))
        second_s, began = time.monotonic() - began, time.monotonic()
        assert await dispatcher.clock_ms() is None
        third_s = time.monotonic() - began
    assert max(second_s, third_s) < first_s / 2
    assert {one["event"] for one in logs} == {"lanes_not_released"}
