"""Ids on their queues and in their lanes, and off them."""

import asyncio

import pytest
from arq.constants import in_progress_key_prefix
from redis.asyncio import Redis

from jobs.kit.lane import Lane
from service.lane_rules import Rule, written_limits
from service.queue import Entry, Queue, Release
from tests.service.queue.ids import claim, entry, score
from tests.service.queue.in_lanes import ROOM, in_lanes


async def test_an_id_that_is_there_already_keeps_its_place(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a", -5)])
    before = await score(redis, "a")
    await queue.put([entry("a", 60)])
    assert await score(redis, "a") == before


async def test_putting_lifts_the_claim_that_a_dead_worker_left(queue: Queue, redis: Redis) -> None:
    await redis.set(in_progress_key_prefix + "a", "1", px=60_000)
    await queue.put([entry("a")])
    assert await claim(queue) == ["a"]


async def test_putting_nothing_is_harmless(queue: Queue, redis: Redis) -> None:
    await queue.put([])
    await queue.remove("default", [])
    await queue.put_back([])
    assert await redis.keys("*") == []


async def test_a_put_that_was_cancelled_before_it_began_is_made_up_for_by_the_next_one(queue: Queue) -> None:
    cut_off = asyncio.create_task(queue.put([entry("a")]))
    await asyncio.sleep(0)
    (writing,) = (task for task in asyncio.all_tasks() if task.get_name() == "queue-write")
    writing.cancel()
    await asyncio.wait({cut_off})
    await queue.put([entry("b")])
    assert set(await claim(queue)) == {"a", "b"}


async def test_nothing_is_left_of_a_removed_id(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a"), entry("b")])
    await claim(queue)
    await queue.remove("default", [b"a", b"b"])
    assert await redis.keys("*") == [b"postlude:wake:default"]


async def test_nothing_is_left_of_started_ids_once_their_lanes_are_released(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("kind:slow", paused=True), Rule("host", paused=True)])
    before = set(await redis.keys("*"))
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t", "host"), in_lanes("low", "t", priority=-1)])
    await lanes.put([entry("plain"), entry("slow")._replace(kind="slow")])
    await lanes.claim(["default"], ROOM)
    await lanes.put_back([in_lanes("a", "t"), in_lanes("low", "t", priority=-1), entry("plain")])
    await lanes.lanes.apply([])
    taken = await lanes.claim(["default"], ROOM)
    assert len(taken.claimed) == 5
    await lanes.take_off_soon(taken.claimed)
    entered = [one for one in taken.claimed if one.lanes]
    await lanes.lanes.release([Release(one.member.decode(), one.lanes) for one in entered])
    left = set(await redis.keys("*")) - before
    assert left <= {b"postlude:wake:default", b"postlude:lanes-checked"}


async def test_an_id_that_was_moved_since_its_claim_is_found_by_the_next_one(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t", "u")])
    taken = await lanes.claim(["default"], ROOM)
    await lanes.lanes.release([Release("a", ("t", "u"))])
    await redis.zrem("postlude:lane-waiting:default,t", "a")
    await redis.zadd("postlude:lane-waiting:default,u", {"a": 1})
    await redis.zadd("postlude:lane-turns:default", {"u": 1})
    await lanes.take_off_soon(taken.claimed)
    assert (await lanes.claim(["default"], ROOM)).claimed == [], "it has no payload"
    assert not await redis.exists("postlude:lane-waiting:default,u")


@pytest.mark.parametrize(
    ("lane", "most"), [(None, 1.5), (Lane("t"), 7.5), (Lane("t", concurrency=1), 13.5)], ids=["none", "turns", "one"]
)
async def test_what_a_job_costs_redis_from_its_claim_to_its_end(
    lanes: Queue, redis: Redis, lane: Lane | None, most: float
) -> None:
    """In commands: they take most of Redis' time, and unlike that time they can be counted on any machine."""
    entries = [_job(number, lane) for number in range(1_000)]
    await lanes.put(entries)
    limits = {one.id: one.lanes for one in entries}
    await redis.config_resetstat()
    ended = 0
    while taken := (await lanes.claim(["default"], ROOM)).claimed:
        await lanes.take_off_soon(taken)
        ids = [one.member.decode() for one in taken]
        if lane is not None:
            await lanes.lanes.release([Release(one, limits[one], claim_ms=2**50) for one in ids])
        ended += len(ids)
    calls = sum(one["calls"] for one in (await redis.info("commandstats")).values())
    assert ended == 1_000
    assert calls / ended <= most


def _job(number: int, lane: Lane | None) -> Entry:
    if lane is None:
        return entry(f"job-{number:04}")
    key = f"{lane.key}:{number % 100}"
    return in_lanes(f"job-{number:04}", key, limits=written_limits(Lane(key, concurrency=lane.concurrency), None))
