"""Dramatiq: two processes of eight threads, results stored."""

from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "dramatiq"

_redis = Redis.from_url(surroundings.redis_url())
broker = RedisBroker(url=surroundings.redis_url())
broker.add_middleware(Results(backend=RedisBackend(client=_redis), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None: ...


@dramatiq.actor
def stamp(index: int) -> None:
    tasks.stamp(index)


class Dramatiq:
    async def fill(self, task: Task, count: int) -> None:
        for _ in range(count):
            noop.send()

    async def enqueue_stamp(self, index: int) -> None:
        stamp.send(index)

    async def done(self) -> int:
        # A message leaves this hash when it is acknowledged, after its result has been stored.
        return -int(_redis.hlen("dramatiq:default.msgs"))


@asynccontextmanager
async def opened() -> Opened:
    yield Dramatiq()


def worker(slots: int) -> list[str]:
    return ["dramatiq", "benchmarks.peers.dramatiq", "--processes", "2", "--threads", "8"]
