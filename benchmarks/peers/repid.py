"""repid on uvloop, over Redis streams in batches of 100. It acknowledges and keeps no results."""

import asyncio
from contextlib import asynccontextmanager

import uvloop
from redis.asyncio import Redis
from repid import RedisServer, Repid, Router

from benchmarks import surroundings, tasks
from benchmarks.peers import Opened, Task

DISTRIBUTION = "repid"
_STREAM = "repid:default"

router = Router()


@router.actor
async def noop() -> None: ...


@router.actor
async def sleep() -> None:
    tasks.note_start()
    await asyncio.sleep(tasks.SLEEP_S)


@router.actor
async def stamp(index: int) -> None:
    tasks.stamp(index)


app = Repid()
# redis-py 8 has 100 connections unless told otherwise, and each job that ends takes one.
_URL = f"{surroundings.redis_url()}?max_connections={2 * surroundings.slots() + 100}"
app.servers.register_server("default", RedisServer(_URL, batch_size=100), is_default=True)
app.include_router(router)


class RepidPeer:
    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    async def fill(self, task: Task, count: int) -> None:
        for number in range(1, count + 1):
            # Numbered, so that the group's place in the stream tells how many were delivered.
            at = {"stream_id": f"1-{number}"}
            await app.send_message(
                channel="default", payload=b"", headers={"topic": task}, server_specific_parameters=at
            )

    async def enqueue_stamp(self, index: int) -> None:
        await app.send_message_json(channel="default", payload={"index": index}, headers={"topic": "stamp"})

    async def done(self) -> int:
        for group in await self._redis.xinfo_groups(_STREAM):
            delivered = int(group["last-delivered-id"].partition(b"-")[2])
            return delivered - int(group["pending"])
        return 0


@asynccontextmanager
async def opened() -> Opened:
    async with Redis.from_url(surroundings.redis_url()) as redis, app.servers.default.connection():
        yield RepidPeer(redis)


def worker(slots: int) -> list[str]:
    return ["python", "-m", "benchmarks.peers.repid"]


async def _work() -> None:
    async with app.servers.default.connection():
        await app.run_worker(tasks_limit=surroundings.slots())


if __name__ == "__main__":
    uvloop.run(_work())
