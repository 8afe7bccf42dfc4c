"""RQ: two workers that do not fork for each job."""

from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue

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

    async def done(self) -> int:
        return int(_redis.zcard("rq:finished:default"))


@asynccontextmanager
async def opened() -> Opened:
    yield Rq()


def worker(slots: int) -> list[str]:
    options = ["--num-workers", "2", "--quiet", "--worker-class", "rq.SimpleWorker"]
    return ["rq", "worker-pool", "--url", surroundings.redis_url(), *options]
