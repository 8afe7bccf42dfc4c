"""Dramatiq: two processes of eight threads, results stored.

Its rate limiters refuse a job, which comes again after a pause: 0.1 to 1 s here, since the default of 15 s is too long.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import BucketRateLimiter, ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as LimiterBackend
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
_limiters = LimiterBackend(client=_redis)
_threads = surroundings.slots() if surroundings.variant() == "calls" else 16


@dramatiq.actor
def noop() -> None: ...


@dramatiq.actor
def stamp(index: int) -> None:
    tasks.stamp(index)


@dramatiq.actor(max_retries=None, min_backoff=100, max_backoff=1000, throws=TimeoutError)
def call(key: str, url: str) -> None:
    with _limited(key):
        tasks.call_and_block(url)


def _limited(key: str) -> AbstractContextManager[object]:
    match surroundings.limit():
        case "rate":
            return BucketRateLimiter(_limiters, key, limit=tasks.CALLS_PER_S, bucket=1000).acquire()
        case "concurrency":
            return ConcurrentRateLimiter(_limiters, key, limit=surroundings.share()).acquire()
        case _:
            return nullcontext()


class Dramatiq:
    async def fill(self, task: Task, count: int) -> None:
        for _ in range(count):
            noop.send()

    async def enqueue_stamp(self, index: int) -> None:
        stamp.send(index)

    async def call(self, key: str, urls: Sequence[str]) -> None:
        for url in urls:
            call.send(key, url)

    async def done(self) -> int:
        # A message leaves this hash when it is acknowledged, after its result has been stored.
        return -int(_redis.hlen("dramatiq:default.msgs"))


@asynccontextmanager
async def opened() -> Opened:
    yield Dramatiq()


def worker(slots: int) -> list[str]:
    return ["dramatiq", "benchmarks.peers.dramatiq", "--processes", "2", "--threads", str(_threads // 2)]
