"""A queue on an empty Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.queue import Queue, open_redis
from tests.service.queue.in_lanes import build
from tests.support.servers import RedisServer


@pytest.fixture
async def queue(redis: Redis, redis_server: RedisServer) -> AsyncIterator[Queue]:
    arq = open_redis(redis_server.url)
    yield Queue(arq)
    await arq.aclose(close_connection_pool=True)


@pytest.fixture
async def lanes(queue: Queue) -> Queue:
    """A queue whose lanes are open."""
    await build(queue)
    return queue
