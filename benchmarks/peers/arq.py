"""arq with its defaults, and tuned: 100 jobs at once, a poll every 10 ms, uvloop, no log line for each job."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.constants import default_queue_name

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "arq"
QUIET: dict[str, Any] = {"version": 1, "disable_existing_loggers": False}


async def noop(_ctx: dict[str, Any]) -> None: ...


async def sleep(_ctx: dict[str, Any]) -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


async def stamp(_ctx: dict[str, Any], index: int) -> None:
    tasks.stamp(index)


def _redis() -> RedisSettings:
    return RedisSettings(unix_socket_path=surroundings.redis_socket())


async def call(_ctx: dict[str, Any], url: str) -> None:
    await tasks.call(url)


class Arq:
    def __init__(self, pool: ArqRedis) -> None:
        self._pool = pool

    async def fill(self, task: Task, count: int) -> None:
        for _ in range(0, count, 50):
            await asyncio.gather(*(self._pool.enqueue_job(task) for _ in range(50)))

    async def enqueue_stamp(self, index: int) -> None:
        await self._pool.enqueue_job("stamp", index)

    async def call(self, _key: str, urls: Sequence[str]) -> None:
        for first in range(0, len(urls), 50):
            await asyncio.gather(*(self._pool.enqueue_job("call", url) for url in urls[first : first + 50]))

    async def done(self) -> int:
        # One transaction stores the result and takes the id off the queue.
        return -await self._pool.zcard(default_queue_name)


@asynccontextmanager
async def opened() -> Opened:
    pool = await create_pool(_redis())
    yield Arq(pool)
    await pool.aclose()


def worker(slots: int) -> list[str]:
    if surroundings.variant() == "defaults":
        return ["arq", "benchmarks.peers.arq.Defaults"]
    return ["arq", "--custom-log-dict", "benchmarks.peers.arq.QUIET", "benchmarks.peers.arq.Tuned"]


class Defaults:
    """Read by arq's CLI, which sees only what the class itself defines, and nothing it inherits."""

    functions = (noop, sleep, stamp)
    redis_settings = _redis()


class Tuned:
    functions = (noop, sleep, stamp, call)
    redis_settings = _redis()
    max_jobs = surroundings.slots()
    poll_delay = 0.01


if surroundings.variant() == "tuned":
    # Set on import: arq's CLI makes the loop later.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
