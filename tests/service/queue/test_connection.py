"""Every way of being away reads as Redis being away, and every call can be cancelled."""

import asyncio
from typing import Any

import pytest
import uvloop

from service.queue import (
    UNREACHABLE,
    open_redis,
)
from tests.support.servers import RedisServer


def test_transport_that_was_reset_under_uvloop_reads_as_redis_being_away(redis_server: RedisServer) -> None:
    async def send_on_a_reset_connection() -> None:
        arq = open_redis(redis_server.url)
        connection = await arq.connection_pool.get_connection()
        connection._writer.transport.abort()
        try:
            with pytest.raises(UNREACHABLE):
                await connection.send_command("PING")
            await arq.connection_pool.release(connection)
            assert await arq.ping()
        finally:
            await arq.aclose(close_connection_pool=True)

    uvloop.run(send_on_a_reset_connection())


async def test_cancellation_that_comes_when_all_is_just_sent_is_heard(redis_server: RedisServer) -> None:
    arq = open_redis(redis_server.url)
    connection: Any = await arq.connection_pool.get_connection()
    send = connection._send_packed_command

    async def send_and_be_cancelled(command: Any) -> None:
        await send(command)
        sending.cancel()

    connection._send_packed_command = send_and_be_cancelled
    sending = asyncio.create_task(connection.send_command("PING"))
    await asyncio.wait({sending})
    assert sending.cancelled()
    connection._send_packed_command = send
    await arq.connection_pool.release(connection)
    assert await arq.ping()
    await arq.aclose(close_connection_pool=True)
