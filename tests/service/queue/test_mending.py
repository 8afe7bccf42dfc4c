"""The epoch, which is this life of Redis; and which ids are missing."""

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.lane_rules import Rule
from service.queue import (
    UNREACHABLE,
    Member,
    Queue,
    Room,
    key_of,
    open_redis,
)
from service.queue.keys import waiting_key_of
from tests.service.queue.ids import claim, entry, epoch_of
from tests.service.queue.in_lanes import ROOM, in_lanes
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


async def test_ids_are_missing_that_wait_neither_on_their_queues_nor_for_lanes_or_kinds(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.lanes.apply([Rule("kind:slow", paused=True), Rule("host", paused=True)])
    there = {
        Member("default", "plain", "greet"): entry("plain"),
        Member("default", "other", "greet"): entry("other", queue="other")._replace(queue="default"),
        Member("default", "in-lane", "greet", ("t",)): in_lanes("in-lane", "t"),
        Member("default", "second", "greet", ("t", "host")): in_lanes("second", "t", "host"),
        Member("default", "of-kind", "slow"): entry("of-kind")._replace(kind="slow"),
        Member("default", "both", "slow", ("t",)): in_lanes("both", "t", kind="slow"),
    }
    await lanes.put(there.values())
    claimed = (await lanes.claim(["default"], ROOM)).claimed
    assert sorted(one.member for one in claimed) == [b"in-lane", b"other", b"plain"]
    assert await redis.zscore(waiting_key_of("default", "host"), "second") is not None
    assert await redis.zscore(waiting_key_of("default", "kind:slow"), "both") is not None
    away = {Member("default", "gone", "greet"), Member("default", "gone-too", "greet", ("t", "host"))}
    away |= {Member("other", "in-lane", "greet", ("t",)), Member("other", "plain", "greet")}
    assert await lanes.missing([*there, *away]) == away


async def test_while_arqs_own_worker_is_at_work_its_queues_alone_count(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t")])
    wanted = [Member("default", "a", "greet", ("t",)), Member("default", "b", "greet", ("t",))]
    await lanes.mark_stock_worker()
    assert await lanes.missing(wanted) == set(wanted)
    await redis.zadd(key_of("default"), {"b": 1})
    assert await lanes.missing(wanted) == {wanted[0]}


async def test_one_call_finds_all_that_is_missing_from_lanes(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes(f"job-{n}", f"tenant:{n}") for n in range(500)])
    wanted = [Member("default", f"job-{n}", "greet", (f"tenant:{n}",)) for n in range(600)]
    await lanes.missing(wanted[:1])  # loads the script
    await redis.config_resetstat()
    assert len(await lanes.missing(wanted)) == 100
    calls = {name: one["calls"] for name, one in (await redis.info("commandstats")).items()}
    assert calls["cmdstat_evalsha"] == 1
    assert "cmdstat_zmscore" not in calls
