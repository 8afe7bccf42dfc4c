"""RQ: two workers that do not fork for each job. What it calls a rate limit limits concurrency."""

from collections.abc import Sequence
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue, RateLimit

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "rq"

_redis = Redis.from_url(surroundings.redis_url())
_queue = Queue(connection=_redis)


def noop() -> None: ...


class Rq:
    async def fill(self, task: Task, count: int) -> None:
        for _ in range(0, count, 100):
            _queue.enqueue_many([Queue.prepare_data(noop, result_ttl=3600) for _ in range(100)])

    async def enqueue_stamp(self, index: int) -> None:
        _queue.enqueue(tasks.stamp, index)

    async def call(self, key: str, urls: Sequence[str]) -> None:
        limit = RateLimit(key, surroundings.share()) if surroundings.limit() == "concurrency" else None
        for url in urls:
            _queue.enqueue(tasks.call_and_block, url, rate_limit=limit)

    async def done(self) -> int:
        return int(_redis.zcard("rq:finished:default"))


@asynccontextmanager
async def opened() -> Opened:
    yield Rq()


def worker(slots: int) -> list[str]:
    processes = slots if surroundings.variant() == "calls" else 2
    options = ["--num-workers", str(processes), "--quiet", "--worker-class", "rq.SimpleWorker"]
    return ["rq", "worker-pool", "--url", surroundings.redis_url(), *options]
