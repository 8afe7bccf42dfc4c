"""The Redis client: every call ends within seconds, and raises one of `UNREACHABLE` if Redis is away."""

import asyncio
from typing import Any, cast

from arq.connections import ArqRedis, RedisSettings
from redis.asyncio import BlockingConnectionPool, SSLConnection
from redis.connection import HiredisRespSerializer
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from service.addresses import redis_arguments
from service.queue.codec import deserialize, serialize

# redis-py lets a socket's built-in TimeoutError and OSError through.
UNREACHABLE = (RedisError, OSError, TimeoutError)
SOCKET_TIMEOUT_S = 3.0
_PACKER = HiredisRespSerializer()


def open_redis(url: str) -> ArqRedis:
    """Make a client, which opens connections when it needs them."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=20,
        timeout=2,  # how long to wait for a free connection
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=1,
        health_check_interval=30,
    )
    pool.connection_class = _quick_and_plain(pool.connection_class)
    return ArqRedis(pool_or_conn=pool, job_serializer=serialize, job_deserializer=deserialize)


def arq_settings(url: str) -> RedisSettings:
    """Return arq's own settings for `url`. Its `from_dsn` would not decode users, passwords and paths."""
    given = redis_arguments(url)
    names = {"host": "host", "port": "port", "path": "unix_socket_path", "db": "database"}
    same = {name for name in given if name.startswith("ssl_")} & set(RedisSettings.__dataclass_fields__)
    renamed = {ours: given[theirs] for theirs, ours in names.items() if theirs in given}
    return RedisSettings(
        **renamed,
        **{name: given[name] for name in {*same, "username", "password"} & given.keys()},
        ssl=given.get("connection_class") is SSLConnection,
    )


def _quick_and_plain(connection_class: Any) -> Any:
    """Make a connection class that packs in C, raises `ConnectionError` if its transport is gone, and can be cancelled.

    redis-py's asyncio client packs in Python. If a transport was reset after the last command, uvloop raises
    RuntimeError and redis-py lets it through, so nobody would see that Redis is away. And redis-py sends within
    `asyncio.wait_for`, which before Python 3.12 swallows a cancellation that arrives just as everything is sent.
    """

    class Connection(connection_class):  # type: ignore[misc]
        def pack_command(self, *args: Any) -> list[bytes]:
            return cast(list[bytes], _PACKER.pack(*args))

        async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
            task = asyncio.current_task()
            cancelled_before = task.cancelling() if task else 0
            try:
                await super().send_packed_command(command, check_health)
            except RuntimeError as error:
                if "closed" not in str(error):
                    raise
                raise ConnectionLost("The connection to Redis was lost.") from error
            if task and task.cancelling() > cancelled_before:
                await self.disconnect(nowait=True)  # nobody reads the answer
                raise asyncio.CancelledError

    return Connection
