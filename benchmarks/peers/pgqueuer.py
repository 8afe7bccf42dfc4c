"""PgQueuer on uvloop: Postgres alone, batches of 100, its log of outcomes written.

Its limits of concurrency are those of entrypoints, so each key has one.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "pgqueuer"
BATCH = 50 if surroundings.variant() == "calls" else 100


class PgQueuerPeer:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._queries = Queries(AsyncpgDriver(connection))

    async def install(self) -> None:
        if await self._connection.fetchval("SELECT to_regclass('pgqueuer')") is None:
            await self._queries.install()

    async def fill(self, task: Task, count: int) -> None:
        for _ in range(0, count, 1000):
            batch = min(1000, count)
            await self._queries.enqueue([task] * batch, [None] * batch, [0] * batch)

    async def enqueue_stamp(self, index: int) -> None:
        await self._queries.enqueue("stamp", str(index).encode())

    async def call(self, key: str, urls: Sequence[str]) -> None:
        for first in range(0, len(urls), 1000):
            some = urls[first : first + 1000]
            await self._queries.enqueue([key] * len(some), [url.encode() for url in some], [0] * len(some))

    async def done(self) -> int:
        # One statement moves a job from the queue to the log.
        return -int(await self._connection.fetchval("SELECT count(*) FROM pgqueuer"))


@asynccontextmanager
async def opened() -> Opened:
    connection = await asyncpg.connect(surroundings.postgres_dsn())
    peer = PgQueuerPeer(connection)
    await peer.install()
    yield peer
    await connection.close()


def worker(slots: int) -> list[str]:
    return ["python", "-m", "benchmarks.peers.pgqueuer"]  # `pgq run` fails over its own --log-level with today's typer


async def _call(job: Job) -> None:
    assert job.payload is not None
    await tasks.call(job.payload.decode())


async def _work() -> None:
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(surroundings.postgres_dsn())))

    @pgq.entrypoint("noop")
    async def noop(_job: Job) -> None: ...

    @pgq.entrypoint("sleep")
    async def sleep(_job: Job) -> None:
        tasks.note_start()
        await asyncio.sleep(tasks.SLEEP_S)

    @pgq.entrypoint("stamp")
    async def stamp(job: Job) -> None:
        assert job.payload is not None
        tasks.stamp(int(job.payload))

    for key in ("first", "second"):
        pgq.entrypoint(key, concurrency_limit=surroundings.share() if surroundings.limit() == "concurrency" else 0)(
            _call
        )

    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, pgq.shutdown.set)
    # It accepts no limit below twice the batch, and runs faster without a limit.
    limit = surroundings.slots() if surroundings.slots() >= 2 * BATCH else None
    await pgq.run(batch_size=BATCH, max_concurrent_tasks=limit)


if __name__ == "__main__":
    uvloop.run(_work())
