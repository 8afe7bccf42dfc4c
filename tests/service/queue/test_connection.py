"""Every way of being away reads as Redis being away."""

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
