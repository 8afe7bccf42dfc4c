"""What can happen to a Redis; each fault is over when its function returns."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from signal import Signals

from redis.asyncio import Redis

from tests.support.servers import RedisServer

Fault = Callable[[RedisServer], Awaitable[None]]


@asynccontextmanager
async def client_of(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as client:
        yield client


async def killed_and_restarted(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(3)
    await asyncio.to_thread(server.start)


async def flushed(server: RedisServer) -> None:
    async with client_of(server) as client:
        await client.flushall()


async def marker_lost(server: RedisServer) -> None:
    async with client_of(server) as client:
        await client.delete("postlude:epoch")


async def replaced_by_an_empty_one(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)
    for left in server.folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    await asyncio.to_thread(server.start)


async def demoted_and_promoted(server: RedisServer) -> None:
    async with client_of(server) as client:
        await client.replicaof("127.0.0.1", "1")
        await asyncio.sleep(5)
        await client.replicaof("NO", "ONE")


async def frozen(server: RedisServer) -> None:
    assert server.process is not None
    server.process.send_signal(Signals.SIGSTOP)
    await asyncio.sleep(10)
    server.process.send_signal(Signals.SIGCONT)


async def full(server: RedisServer) -> None:
    async with client_of(server) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        await asyncio.sleep(5)
        await client.config_set("maxmemory", 0)


FAULTS: dict[str, Fault] = {
    "kill -9, restart after 3 s": killed_and_restarted,
    "FLUSHALL": flushed,
    "marker key lost": marker_lost,
    "replaced by an empty server": replaced_by_an_empty_one,
    "REPLICAOF (read-only) for 5 s": demoted_and_promoted,
    "SIGSTOP for 10 s": frozen,
    "full (OOM) for 5 s": full,
}
