"""ardiq on uvloop, results stored. Its worker loop and its Redis client are in Rust; it prefetches 1,000 jobs.

It limits the concurrency of each priority in one worker, so each key is a priority of the same weight.
"""

import asyncio
from collections.abc import Sequence
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
_KEYS = ("first", "second")
_limits = surroundings.limit() == "concurrency"
_options = (
    {
        "priorities": list(_KEYS),
        "weights": dict.fromkeys(_KEYS, 1),
        "limits": dict.fromkeys(_KEYS, surroundings.share()),
    }
    if _limits
    else {"prefetch": 1000}
)
app = Ardiq(redis_url=surroundings.redis_url(), concurrency=surroundings.slots(), **_options)


@app.task()
async def noop() -> None: ...


@app.task()
async def sleep() -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@app.task()
async def stamp(index: int) -> None:
    tasks.stamp(index)


@app.task()
async def call(url: str) -> None:
    await tasks.call(url)


class ArdiqPeer:
    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        chosen = {"noop": noop, "sleep": sleep}[task]
        for first in range(0, count, BATCH):
            await app.enqueue_many(chosen.prepare() for _ in range(min(BATCH, count - first)))

    async def enqueue_stamp(self, index: int) -> None:
        await stamp.enqueue(index)

    async def call(self, key: str, urls: Sequence[str]) -> None:
        bound = call.options(priority=key if _limits else None)
        for first in range(0, len(urls), BATCH):
            await app.enqueue_many(bound.prepare(url) for url in urls[first : first + BATCH])

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
