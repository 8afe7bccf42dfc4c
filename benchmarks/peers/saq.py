"""SAQ on uvloop."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from redis.asyncio import Redis
from saq import Queue
from saq.queue.redis import RedisQueue

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "saq"

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def noop(_ctx: dict[str, Any]) -> None: ...


async def sleep(_ctx: dict[str, Any]) -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


async def stamp(_ctx: dict[str, Any], *, index: int) -> None:
    tasks.stamp(index)


async def call(_ctx: dict[str, Any], *, url: str) -> None:
    await tasks.call(url)


class Saq:
    def __init__(self, queue: Queue, redis: "Redis") -> None:
        self._queue = queue
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        for _ in range(0, count, 50):
            await asyncio.gather(*(self._queue.enqueue(task) for _ in range(50)))

    async def enqueue_stamp(self, index: int) -> None:
        await self._queue.enqueue("stamp", index=index)

    async def call(self, _key: str, urls: Sequence[str]) -> None:
        for first in range(0, len(urls), 50):
            await asyncio.gather(*(self._queue.enqueue("call", url=url) for url in urls[first : first + 50]))

    async def done(self) -> int:
        # A finish stores the outcome and takes the id off this set in one pipeline.
        return -await self._redis.zcard("saq:default:incomplete")


# Each slot of the worker holds a connection in a blocking read. `RedisQueue.from_url` has the limits of redis-py, since
# release 8 100 connections and 5 s: too few connections, and too short a wait.
_redis = Redis.from_url(surroundings.redis_url(), max_connections=2 * surroundings.slots() + 100, socket_timeout=None)
queue = RedisQueue(_redis)
settings = {"queue": queue, "functions": [noop, sleep, stamp, call], "concurrency": surroundings.slots()}


@asynccontextmanager
async def opened() -> Opened:
    async with Redis.from_url(surroundings.redis_url()) as redis:
        await queue.connect()
        yield Saq(queue, redis)
        await queue.disconnect()


def worker(slots: int) -> list[str]:
    return ["saq", "benchmarks.peers.saq.settings"]
