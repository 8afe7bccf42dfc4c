"""Celery: two prefork processes that fetch ahead, without gossip and mingle, results stored."""

from contextlib import asynccontextmanager

from celery import Celery
from redis import Redis

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "celery"

_url = f"redis+socket://{surroundings.redis_socket()}"
_redis = Redis.from_url(surroundings.redis_url())
app = Celery("bench", broker=_url, backend=_url)
app.conf.worker_prefetch_multiplier = 64
_NOT_RESULTS = ("celery", "unacked", "unacked_index", "unacked_mutex", "_kombu.binding.celery")
_NOT_RESULTS += ("_kombu.binding.celeryev", "_kombu.binding.celery.pidbox")


@app.task
def noop() -> None: ...


@app.task
def stamp(index: int) -> None:
    tasks.stamp(index)


class CeleryPeer:
    async def fill(self, task: Task, count: int) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(count):
                noop.apply_async(producer=producer)

    async def enqueue_stamp(self, index: int) -> None:
        stamp.delay(index)

    async def done(self) -> int:
        # One key for each result, beside the broker's own.
        return int(_redis.dbsize()) - int(_redis.exists(*_NOT_RESULTS))


@asynccontextmanager
async def opened() -> Opened:
    yield CeleryPeer()


def worker(slots: int) -> list[str]:
    options = ["--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return ["celery", "-A", "benchmarks.peers.celery:app", "worker", *options]
