"""Ids on their queues, and off them."""

from arq.constants import in_progress_key_prefix
from redis.asyncio import Redis

from service.queue import (
    Queue,
)
from tests.service.queue.ids import claim, entry, score


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


async def test_nothing_is_left_of_a_removed_id(queue: Queue, redis: Redis) -> None:
    await queue.put([entry("a"), entry("b")])
    await claim(queue)
    await queue.remove("default", [b"a", b"b"])
    assert await redis.keys("*") == [b"postlude:wake:default"]
