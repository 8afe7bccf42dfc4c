"""Celery: two prefork processes that fetch ahead, without gossip and mingle, results stored.

Its calls run in threads. It limits the rate of each worker, and has no limit for a key. A queue for each key,
from which its workers take turns, keeps keys apart.
"""

from collections.abc import Sequence
from contextlib import asynccontextmanager

from celery import Celery
from redis import Redis

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "celery"

_url = f"redis+socket://{surroundings.redis_socket()}"
_redis = Redis.from_url(surroundings.redis_url())
app = Celery("bench", broker=_url, backend=_url)
# Few at hand where they are held back: each has a timer of its own, and its loop sleeps after ten of them.
app.conf.worker_prefetch_multiplier = {"": 64, "rate": 4, "queues": 1}[surroundings.limit()]
_NOT_RESULTS = ("celery", "unacked", "unacked_index", "unacked_mutex", "_kombu.binding.celery")
_NOT_RESULTS += ("_kombu.binding.celeryev", "_kombu.binding.celery.pidbox")


@app.task
def noop() -> None: ...


@app.task
def stamp(index: int) -> None:
    tasks.stamp(index)


_share = 60 * tasks.CALLS_PER_S // surroundings.workers()


@app.task(rate_limit=f"{_share}/m" if surroundings.limit() == "rate" else None)
def call(url: str) -> None:
    tasks.call_and_block(url)


class CeleryPeer:
    async def fill(self, task: Task, count: int) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            for _ in range(count):
                noop.apply_async(producer=producer)

    async def enqueue_stamp(self, index: int) -> None:
        stamp.delay(index)

    async def call(self, key: str, urls: Sequence[str]) -> None:
        queue = key if surroundings.limit() == "queues" else "celery"
        with app.producer_pool.acquire(block=True) as producer:
            for url in urls:
                call.apply_async((url,), producer=producer, queue=queue)

    async def done(self) -> int:
        # One key for each result, beside the broker's own.
        return int(_redis.dbsize()) - int(_redis.exists(*_NOT_RESULTS))


@asynccontextmanager
async def opened() -> Opened:
    yield CeleryPeer()


def worker(slots: int) -> list[str]:
    options = ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    threads = ["--pool", "threads", "--concurrency", str(slots)]
    options += threads if surroundings.variant() == "threads" else ["--concurrency", "2"]
    options += ["--queues", "first,second"] if surroundings.limit() == "queues" else []
    return ["celery", "-A", "benchmarks.peers.celery:app", "worker", *options]
