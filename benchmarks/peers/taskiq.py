"""Taskiq with taskiq-redis: stream broker, 100 messages a read, and result backend. Its worker runs on uvloop."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "taskiq"

_url = surroundings.redis_url()
broker = RedisStreamBroker(_url).with_result_backend(RedisAsyncResultBackend(_url, result_ex_time=3600))


@broker.task
async def noop() -> None: ...


@broker.task
async def sleep() -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@broker.task
async def stamp(index: int) -> None:
    tasks.stamp(index)


@broker.task
async def call(url: str) -> None:
    await tasks.call(url)


class Taskiq:
    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        chosen = {"noop": noop, "sleep": sleep}[task]
        for _ in range(0, count, 50):
            await asyncio.gather(*(chosen.kiq() for _ in range(50)))

    async def enqueue_stamp(self, index: int) -> None:
        await stamp.kiq(index)

    async def call(self, _key: str, urls: Sequence[str]) -> None:
        for first in range(0, len(urls), 50):
            await asyncio.gather(*(call.kiq(url) for url in urls[first : first + 50]))

    async def done(self) -> int:
        # One key for each result, beside the stream and a lock.
        return int(await self._redis.dbsize()) - int(await self._redis.exists("autoclaim:taskiq:taskiq"))


@asynccontextmanager
async def opened() -> Opened:
    await broker.startup()
    async with Redis.from_url(_url) as redis:
        yield Taskiq(redis)
    await broker.shutdown()


def worker(slots: int) -> list[str]:
    limits = ["--workers", "1", "--max-async-tasks", str(slots), "--max-prefetch", str(slots)]
    return ["taskiq", "worker", "benchmarks.peers.taskiq:broker", *limits, "--log-level", "WARNING"]
