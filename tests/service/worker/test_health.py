import asyncio
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from service.worker.health import Health


class SwallowingRedis:
    """Does with a cancellation what redis-py does while it connects: makes an error of its own of it."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()

    async def set(self, *_args: Any, **_options: Any) -> None:
        self.was_asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise RedisConnectionError("the connection was not made") from error

    async def delete(self, _key: str) -> None: ...


async def test_a_cancellation_that_redis_swallows_keeps_no_worker_from_ending() -> None:
    redis = SwallowingRedis()
    async with asyncio.timeout(10), Health(redis, "key", lambda: "well"):  # type: ignore[arg-type]
        await redis.was_asked.wait()
