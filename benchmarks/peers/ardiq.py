"""ardiq on uvloop, results stored. Its worker loop and its Redis client are in Rust; it prefetches 1,000 jobs."""

import asyncio
from contextlib import asynccontextmanager

import uvloop
from ardiq import Ardiq
from redis.asyncio import Redis

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "ardiq"
BATCH = 1000

# Set on import: its command makes the loop after it has imported this file.
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
app = Ardiq(redis_url=surroundings.redis_url(), concurrency=surroundings.slots(), prefetch=1000)


@app.task()
async def noop() -> None: ...


@app.task()
async def sleep() -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@app.task()
async def stamp(index: int) -> None:
    tasks.stamp(index)


class ArdiqPeer:
    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        chosen = {"noop": noop, "sleep": sleep}[task]
        for first in range(0, count, BATCH):
            await app.enqueue_many(chosen.prepare() for _ in range(min(BATCH, count - first)))

    async def enqueue_stamp(self, index: int) -> None:
        await stamp.enqueue(index)

    async def done(self) -> int:
        # A finish stores the result and deletes the message in one transaction.
        return -await self._redis.xlen("ardiq:default:queues:default")


@asynccontextmanager
async def opened() -> Opened:
    async with Redis.from_url(surroundings.redis_url()) as redis:
        yield ArdiqPeer(redis)


def worker(slots: int) -> list[str]:
    # By `-m`, so that the current folder is on the import path.
    return ["python", "-m", "ardiq", "run", "benchmarks.peers.ardiq:app", "--quiet"]
