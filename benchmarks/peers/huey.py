"""Huey: four threads, results stored. It blocks on Redis instead of polling."""

from contextlib import asynccontextmanager

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


class Huey:
    async def fill(self, task: Task, count: int) -> None:
        for _ in range(count):
            noop()

    async def enqueue_stamp(self, index: int) -> None:
        stamp(index)

    async def done(self) -> int:
        return int(huey.storage.conn.hlen("huey.results.bench"))


@asynccontextmanager
async def opened() -> Opened:
    yield Huey()


def worker(slots: int) -> list[str]:
    return ["huey_consumer", "benchmarks.peers.huey.huey", "--workers", "4", "--quiet"]
