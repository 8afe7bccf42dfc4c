"""streaQ 5 on uvloop, which it brings along. Version 6 and later need the functions of Redis 7."""

import asyncio
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from streaq import Worker

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "streaq"

worker_ = Worker(redis_url=surroundings.redis_url(), concurrency=surroundings.slots())


@worker_.task()
async def noop() -> None: ...


@worker_.task()
async def sleep() -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@worker_.task()
async def stamp(index: int) -> None:
    tasks.stamp(index)


class Streaq:
    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        chosen = {"noop": noop, "sleep": sleep}[task]
        for _ in range(0, count, 500):
            await worker_.enqueue_many([chosen.enqueue() for _ in range(500)])

    async def enqueue_stamp(self, index: int) -> None:
        await stamp.enqueue(index)

    async def done(self) -> int:
        # A finish stores the result and acknowledges and deletes the message in one transaction.
        return -await self._redis.xlen("streaq:default:queues:normal")


@asynccontextmanager
async def opened() -> Opened:
    async with Redis.from_url(surroundings.redis_url()) as redis, worker_:
        yield Streaq(redis)


def worker(slots: int) -> list[str]:
    return ["streaq", "benchmarks.peers.streaq.worker_"]
