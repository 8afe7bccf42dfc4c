"""Huey: four threads, results stored. It blocks on Redis instead of polling."""

from collections.abc import Sequence
from contextlib import asynccontextmanager, nullcontext

from huey import RedisHuey

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "huey"

huey = RedisHuey("bench", url=surroundings.redis_url(), store_none=True)


@huey.task()
def noop() -> None: ...


@huey.task()
def stamp(index: int) -> None:
    tasks.stamp(index)


@huey.task()
def call(key: str, url: str) -> None:
    with huey.rate_limit(key, tasks.CALLS_PER_S, per=1) if surroundings.limit() == "rate" else nullcontext():
        tasks.call_and_block(url)


class Huey:
    async def fill(self, task: Task, count: int) -> None:
        for _ in range(count):
            noop()

    async def enqueue_stamp(self, index: int) -> None:
        stamp(index)

    async def call(self, key: str, urls: Sequence[str]) -> None:
        for url in urls:
            call(key, url)

    async def done(self) -> int:
        return int(huey.storage.conn.hlen("huey.results.bench"))


@asynccontextmanager
async def opened() -> Opened:
    yield Huey()


def worker(slots: int) -> list[str]:
    threads = slots if surroundings.variant() == "calls" else 4
    return ["huey_consumer", "benchmarks.peers.huey.huey", "--workers", str(threads), "--quiet"]
