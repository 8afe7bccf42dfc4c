"""The fault proxy makes each fault happen, on an open connection and on a new one."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.ledger.database import Database
from tests.support.proxy import FaultProxy, proxying
from tests.support.servers import PostgresServer, RedisServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def echo() -> AsyncIterator[tuple[str, int]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(1000):
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield "127.0.0.1", server.sockets[0].getsockname()[1]


@pytest.fixture
async def proxy(echo: tuple[str, int]) -> AsyncIterator[FaultProxy]:
    async with proxying(echo) as opened:
        yield opened


async def _connect(proxy: FaultProxy) -> Streams:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def _ask(streams: Streams, text: bytes = b"hello", timeout_s: float = 10) -> bytes:
    reader, writer = streams
    async with asyncio.timeout(timeout_s):
        writer.write(text)
        return await reader.readexactly(len(text))


async def _close(*all_streams: Streams) -> None:
    for _, writer in all_streams:
        writer.close()


async def test_forwards_both_ways_and_passes_a_close_on(proxy: FaultProxy) -> None:
    reader, writer = await _connect(proxy)
    assert await _ask((reader, writer), b"x" * 200_000) == b"x" * 200_000
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def test_latency_delays_in_both_directions(proxy: FaultProxy) -> None:
    streams = await _connect(proxy)
    proxy.latency_s, proxy.jitter_s = 0.1, 0.01
    before = time.monotonic()
    await _ask(streams)
    assert time.monotonic() - before >= 0.2
    await _close(streams)


async def test_sliced_and_slow_writes_arrive_whole(proxy: FaultProxy) -> None:
    streams = await _connect(proxy)
    proxy.slice_bytes = 3
    assert await _ask(streams, bytes(range(200))) == bytes(range(200))
    proxy.bytes_per_s = 1000
    before = time.monotonic()
    assert await _ask(streams, b"y" * 100) == b"y" * 100
    assert time.monotonic() - before >= 0.1
    await _close(streams)


async def test_black_hole_swallows_bytes_on_open_and_new_connections(proxy: FaultProxy) -> None:
    standing = await _connect(proxy)
    await _ask(standing)
    proxy.black_hole = True
    new = await _connect(proxy)
    for streams in (standing, new):
        with pytest.raises(TimeoutError):
            await _ask(streams, timeout_s=0.1)
    proxy.heal()
    with pytest.raises(TimeoutError):  # the lost bytes are gone: only a new connection works again
        await _ask(standing, timeout_s=0.1)
    fresh = await _connect(proxy)
    assert await _ask(fresh) == b"hello"
    await _close(standing, new, fresh)


async def test_reset_hits_open_connections_and_resets_hits_new_ones(proxy: FaultProxy) -> None:
    standing = await _connect(proxy)
    await _ask(standing)
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        await standing[0].read()
    proxy.resets = True
    new = await _connect(proxy)
    with pytest.raises(ConnectionResetError):
        await new[0].read()
    proxy.heal()
    fresh = await _connect(proxy)
    assert await _ask(fresh) == b"hello"
    await _close(standing, new, fresh)


async def test_refuses_until_it_is_started_again_on_the_same_port(proxy: FaultProxy) -> None:
    standing = await _connect(proxy)
    await _ask(standing)
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await _connect(proxy)
    assert await _ask(standing) == b"hello"
    await proxy.start()
    fresh = await _connect(proxy)
    assert await _ask(fresh) == b"hello"
    await _close(standing, fresh)


async def test_forwards_to_redis_over_tcp_and_unix_socket(redis_server: RedisServer, short_dir: Path) -> None:
    async with proxying(redis_server.socket) as tcp, proxying(redis_server.socket, short_dir / "p.sock") as unix:
        for url in (f"redis://127.0.0.1:{tcp.port}/0", f"unix://{unix.listen}"):
            async with Redis.from_url(url) as client:
                assert await client.ping()


async def test_forwards_to_postgres(postgres: PostgresServer) -> None:
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/template_postlude"
        database = Database.open(url)
        async with database.connect() as connection:
            assert (await connection.exec_driver_sql("SELECT 1")).scalar() == 1
        await database.close()
