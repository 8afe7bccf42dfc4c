"""A connection is used again only when it is clean, and one that turns out dead costs nothing."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest
import trustme

from jobs.kit.http_errors import NotHttp
from service.outbound import open_http
from service.outbound.connection import GuardedConnection, GuardedRequest
from tests.service.outbound.resolving import LOOPBACK, resolving
from tests.support.raw_receiver import OK, Line, always, raw_receiver
from tests.support.running import eventually

NOT_FOR_YOU = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
WITH_AN_ID = {"webhook-id": "msg_1"}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(LOOPBACK, 10) as http:
        yield http


async def post(http: httpx.AsyncClient, url: str) -> int:
    return (await http.post(url, content=b"{}", headers=WITH_AN_ID, timeout=30)).status_code


@pytest.mark.parametrize("extra", [NOT_FOR_YOU, NOT_FOR_YOU[:12], b"\r\n", b"x"])
async def test_bytes_after_an_answer_never_become_the_next_one(http: httpx.AsyncClient, extra: bytes) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.answer(OK + extra)

    async with raw_receiver(script) as receiver:
        assert [await post(http, receiver.url) for _ in range(3)] == [200, 200, 200]
    assert (receiver.connections, len(receiver.requests)) == (3, 3)


@pytest.mark.parametrize("extra", [NOT_FOR_YOU, NOT_FOR_YOU[:12], b"x"])
async def test_bytes_that_arrive_while_a_connection_is_kept_never_become_an_answer(
    http: httpx.AsyncClient, extra: bytes
) -> None:
    speak, spoken = asyncio.Event(), asyncio.Event()

    async def script(line: Line) -> None:
        await line.answer(OK)
        if line.number == 1:
            await speak.wait()
            await line.say(extra)
            spoken.set()
        while True:
            await line.answer(OK)

    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        speak.set()
        await spoken.wait()
        assert await post(http, receiver.url) == 200
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_bytes_that_the_loop_has_not_read_yet_never_become_an_answer(http: httpx.AsyncClient) -> None:
    """The loop is held between the receiver's bytes and the request, so that only the socket has the bytes."""
    lines: list[Line] = []

    async def script(line: Line) -> None:
        lines.append(line)
        while True:
            await line.answer(OK)

    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        lines[0].writer.write(NOT_FOR_YOU)  # goes out at once, without a turn of the loop
        assert await post(http, receiver.url) == 200
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


@pytest.mark.parametrize("content", [b"", b"{}", bytes(300_000)])
async def test_bytes_that_arrive_between_choosing_and_writing_never_become_an_answer(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    lines: list[Line] = []
    send = GuardedRequest.send

    async def late(self: GuardedRequest, conn: object) -> object:
        if len(receiver.requests) == 1 and len(lines) == 1:
            await lines[0].say(NOT_FOR_YOU)
            await asyncio.sleep(0.05)  # the loop reads the bytes: the connection is chosen, and nothing is written yet
        return await send(self, conn)  # type: ignore[arg-type]

    async def script(line: Line) -> None:
        lines.append(line)
        while True:
            await line.answer(OK)

    monkeypatch.setattr(GuardedRequest, "send", late)
    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        assert (await http.post(receiver.url, content=content, timeout=30)).status_code == 200
    assert (receiver.connections, len(receiver.requests)) == (2, 2)


async def test_server_that_speaks_first_has_given_no_answer(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = GuardedConnection.expect_answer

    async def after_its_word(self: GuardedConnection) -> bool:
        accepted, _ = server.accept()
        accepted.sendall(OK)
        taken.append(accepted)
        return await real(self)

    taken: list[socket.socket] = []
    monkeypatch.setattr(GuardedConnection, "expect_answer", after_its_word)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(NotHttp, match="before it was asked"):
            await http.post(f"http://127.0.0.1:{server.getsockname()[1]}/", content=b"{}", timeout=30)
        with taken[0] as accepted, contextlib.suppress(ConnectionResetError):
            accepted.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(accepted, 1) == b""


@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_kept_connection_that_dies_before_an_answer_costs_nothing(http: httpx.AsyncClient, ending: str) -> None:
    async def script(line: Line) -> None:
        if line.number == 1:
            await line.answer(OK)
            await line.request()
            if ending == "reset":
                line.reset()
        else:
            await line.answer(OK)

    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        assert await post(http, receiver.url) == 200
    assert receiver.connections == 2


async def test_408_that_ends_a_kept_connection_costs_nothing(http: httpx.AsyncClient) -> None:
    async def script(line: Line) -> None:
        await line.answer(OK)
        await line.answer(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async with raw_receiver(script) as receiver:
        assert [await post(http, receiver.url) for _ in range(3)] == [200, 200, 200]
    assert receiver.connections == 3


async def test_408_on_a_fresh_connection_is_an_answer(http: httpx.AsyncClient) -> None:
    late = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with raw_receiver(always(late)) as receiver:
        assert [await post(http, receiver.url) for _ in range(2)] == [408, 408]
    assert len(receiver.requests) == 2


async def test_receiver_that_closes_shortly_after_its_answers_loses_nothing(http: httpx.AsyncClient) -> None:
    async def script(line: Line) -> None:
        await line.answer(OK)
        await asyncio.sleep(0.02)

    async with raw_receiver(script) as receiver:
        for number in range(100):
            assert await post(http, receiver.url) == 200
            await asyncio.sleep(0.0005 * (number % 50))


async def test_request_on_a_fresh_connection_that_dies_fails_after_one_try(http: httpx.AsyncClient) -> None:
    async def script(line: Line) -> None:
        if line.number == 1:
            await line.answer(OK)
        await line.request()

    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await post(http, receiver.url)
    assert receiver.connections == 2


async def test_second_try_takes_a_fresh_connection(http: httpx.AsyncClient) -> None:
    together = asyncio.Barrier(3)

    async def script(line: Line) -> None:
        await line.request()
        if line.number <= 3:
            await together.wait()
            await line.say(OK)
            await line.request()
            line.reset()
        else:
            await line.say(OK)

    async with raw_receiver(script) as receiver:
        await asyncio.gather(*(post(http, receiver.url) for _ in range(3)))
        assert await post(http, receiver.url) == 200
    assert receiver.connections == 4


@pytest.mark.parametrize("half", [b"H", b"HTTP/1.1 2"])
async def test_request_whose_answer_had_begun_is_not_repeated(http: httpx.AsyncClient, half: bytes) -> None:
    async def script(line: Line) -> None:
        await line.answer(OK)
        await line.answer(half)

    async with raw_receiver(script) as receiver:
        assert await post(http, receiver.url) == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await post(http, receiver.url)
    assert receiver.connections == 1


async def test_post_that_receivers_could_not_tell_from_its_repeat_is_not_repeated(http: httpx.AsyncClient) -> None:
    async def script(line: Line) -> None:
        await line.answer(OK)
        await line.request()

    async with raw_receiver(script) as receiver:
        await http.post(receiver.url)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(receiver.url, content=b"pay")
        assert (receiver.connections, len(receiver.requests)) == (1, 2)
        await http.post(receiver.url)
        assert (await http.post(receiver.url, content=b"pay", headers={"Idempotency-Key": "1"})).status_code == 200
        assert (await http.put(receiver.url, content=b"pay")).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nno colon\r\n\r\n",
    ],
)
async def test_connection_is_kept_only_when_the_answer_clearly_allows_it(http: httpx.AsyncClient, head: bytes) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.answer(head + b"ok")

    async with raw_receiver(script) as receiver:
        assert [await post(http, receiver.url) for _ in range(2)] == [200, 200]
    assert receiver.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
)
async def test_clean_connection_is_used_again(http: httpx.AsyncClient, answer: bytes) -> None:
    async def script(line: Line) -> None:
        while True:
            await line.answer(answer)

    async with raw_receiver(script) as receiver:
        for _ in range(3):
            await post(http, receiver.url)
    assert receiver.connections == 1


async def test_connection_whose_answer_was_not_read_to_its_end_is_closed(http: httpx.AsyncClient) -> None:
    async def script(line: Line) -> None:
        await line.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha")
        await line.hung_up()

    async with raw_receiver(script) as receiver:
        for _ in range(2):
            async with http.stream("POST", receiver.url) as answer:
                assert answer.status_code == 200
    assert receiver.connections == 2


async def test_kept_connection_over_tls_is_clean_too() -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(context)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(OK)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.1")) as http:
            connector = http._guarded._session.connector  # type: ignore[attr-defined]
            authority.configure_trust(connector._ssl)
            for _ in range(5):
                assert (await http.get(f"https://hooks.example:{port}/")).status_code == 200
                await asyncio.sleep(0.01)
    assert connections == 1


async def test_tls_session_tickets_are_neither_an_answer_nor_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is held until the server has sent the tickets: they wait in the socket when the request is written."""
    authority, handshaken = trustme.CA(), threading.Event()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(context)
    real = GuardedConnection.expect_answer

    async def after_the_tickets(self: GuardedConnection) -> bool:
        assert handshaken.wait(30)
        return await real(self)

    def serve() -> None:
        with context.wrap_socket(server.accept()[0], server_side=True) as accepted:
            handshaken.set()
            accepted.recv(65536)
            accepted.sendall(OK)

    monkeypatch.setattr(GuardedConnection, "expect_answer", after_the_tickets)
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = asyncio.create_task(asyncio.to_thread(serve))
        async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.1")) as http:
            authority.configure_trust(http._guarded._session.connector._ssl)  # type: ignore[attr-defined]
            url = f"https://hooks.example:{server.getsockname()[1]}/"
            assert (await http.post(url, content=b"{}", timeout=30)).status_code == 200
        await served


async def test_dead_addresses_of_one_family_do_not_hide_the_other(http: httpx.AsyncClient) -> None:
    dead = [f"2606:4700::{number}" for number in range(1, 9)]

    async def script(line: Line) -> None:
        await line.answer(OK)

    allow = [*LOOPBACK, ip_network("::/0")]
    async with raw_receiver(script) as receiver, open_http(allow, 10, resolve=resolving(*dead, "127.0.0.1")) as http:
        assert (await http.get(f"http://hooks.example:{receiver.port}/")).status_code == 200


async def test_receivers_that_hang_do_not_hold_up_the_others(http: httpx.AsyncClient) -> None:
    async def hang(line: Line) -> None:
        await line.request()
        await line.drip(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, every_s=0.01)

    async def answer(line: Line) -> None:
        while True:
            await line.answer(OK)

    async with raw_receiver(hang) as slow, raw_receiver(answer) as quick:
        held = [asyncio.create_task(post(http, slow.url)) for _ in range(5)]

        async def all_hang() -> bool:
            return len(slow.requests) == 5

        await eventually(all_hang)
        for _ in range(20):
            assert await post(http, quick.url) == 200
        assert not any(task.done() for task in held)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
