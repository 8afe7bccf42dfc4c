"""Each process and each event loop has connections of its own, and none is kept for a loop that is gone."""

import asyncio
import gc
from pathlib import Path

import httpx
import pytest

from postlude import requests
from postlude.place import Place
from postlude.pools import AsyncPool, Pool

GET = requests.get("a")
HELD = requests.events("a")
PLACE = Place("http://127.0.0.1:1", None)
FILES = Path("/proc/self/fd")


def test_a_pool_is_opened_once_and_anew_after_it_was_closed() -> None:
    pool = Pool(PLACE, None)
    pool.close()
    first = pool.to_send(GET)
    assert pool.to_send(GET) is first
    pool.close()
    assert first.is_closed
    assert pool.to_send(GET) is not first
    pool.close()


def test_requests_that_are_held_back_have_connections_of_their_own() -> None:
    pool = Pool(PLACE, None)
    assert pool.to_send(HELD) is pool.to_send(requests.get("a", wait_s=1)) is not pool.to_send(GET)
    held = pool.to_send(HELD)
    pool.close()
    assert held.is_closed


def test_each_loop_has_a_pool_of_its_own() -> None:
    pool = AsyncPool(PLACE, None)

    async def opened() -> httpx.AsyncClient:
        assert pool.to_send(GET) is pool.to_send(GET)
        return pool.to_send(GET)

    first, second = asyncio.run(opened()), asyncio.run(opened())
    assert first is not second


@pytest.mark.skipif(not FILES.exists(), reason="counts open files in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_connections_of_loops_that_are_gone_are_let_go() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No\r\n\r\n")
        await writer.drain()

    async def ask(pool: AsyncPool) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answer = await pool.to_send(GET).get(f"http://127.0.0.1:{port}")
        assert answer.status_code == 204
        server.close()  # and does not wait for the connection, which stays open

    pool = AsyncPool(PLACE, None)
    counts = []
    for _ in range(12):
        asyncio.run(ask(pool))
        gc.collect()
        counts.append(len(list(FILES.iterdir())))
    assert counts[-1] <= counts[2] + 1, counts
