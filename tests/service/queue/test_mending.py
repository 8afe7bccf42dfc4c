"""The epoch: which life of Redis this is."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.queue import (
    UNREACHABLE,
    Queue,
    Room,
    open_redis,
)
from tests.service.queue.ids import claim, entry, epoch_of
from tests.support.running import eventually
from tests.support.servers import RedisServer


async def test_the_epoch_stays_until_redis_is_emptied(queue: Queue, redis: Redis) -> None:
    first = await queue.epoch()
    assert await queue.epoch() == first
    assert 0 < len(first) <= 64
    await redis.flushall()
    assert await queue.epoch() != first


async def test_every_client_sees_the_same_epoch(queue: Queue, redis_server: RedisServer) -> None:
    other = open_redis(redis_server.url)
    epochs = await asyncio.gather(*(Queue(client).epoch() for client in (queue.redis, other) for _ in range(5)))
    assert len(set(epochs)) == 1
    await other.aclose(close_connection_pool=True)


async def test_a_redis_that_was_a_replica_for_a_while_is_a_new_epoch_and_its_lanes_are_closed(short_dir: Path) -> None:
    """It has the same process, and all that it was told of before: what the other one was told, it may never hear."""
    server = RedisServer(short_dir / "redis-replica")
    server.start()
    arq = open_redis(server.url)
    queue = Queue(arq)
    try:
        first = await queue.epoch()
        await queue.lanes.rebuild(first, [], [], first=True)
        await queue.put([entry("a")._replace(lanes=("t",))])
        await arq.replicaof("127.0.0.1", "1")
        await arq.replicaof("NO", "ONE")
        assert await queue.epoch() != first
        taken = await queue.claim(["default"], Room(0, 1))
        assert (taken.claimed, taken.lanes_epoch) == ([], "")
        await queue.lanes.rebuild(await queue.epoch(), [], [])
        assert [one.member for one in (await queue.claim(["default"], Room(0, 1))).claimed] == [b"a"]
    finally:
        await arq.aclose(close_connection_pool=True)
        server.stop()


async def test_a_restarted_redis_is_a_new_epoch_and_claims_go_on(short_dir: Path) -> None:
    server = RedisServer(short_dir / "redis-restarted", options=("--appendfsync", "always"))
    server.start()
    arq = open_redis(server.url)
    queue = Queue(arq)
    try:
        first = await queue.epoch()
        await queue.put([entry("a"), entry("b")])
        assert await claim(queue, 1) == ["a"]
        server.stop()
        with pytest.raises(UNREACHABLE):
            await queue.epoch()
        await asyncio.to_thread(server.start)
        assert await eventually(lambda: epoch_of(queue)) != first
        assert await claim(queue) == ["b"]
    finally:
        await arq.aclose(close_connection_pool=True)
        server.stop()
