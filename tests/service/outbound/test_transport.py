import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest

from service.outbound import AddressRefused, open_http
from tests.service.outbound.resolving import LOOPBACK, resolving
from tests.support.raw_receiver import OK, Line, raw_receiver
from tests.support.receiver import Receiver


async def test_answer_that_breaks_off_raises_httpx_own_error(receiver: Receiver) -> None:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        writer.close()

    receiver.answer = break_off
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(receiver.url)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_answer_that_stalls_is_a_read_timeout(receiver: Receiver, answer: bytes) -> None:
    receiver.answer = answer
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(receiver.url, timeout=httpx.Timeout(30, read=0.1))


async def test_body_that_is_not_taken_is_a_write_timeout() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    done = asyncio.Event()
    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_http(LOOPBACK, 10) as http:
            with pytest.raises(httpx.WriteTimeout):
                await http.post(
                    f"http://127.0.0.1:{port}/", content=bytes(50_000_000), timeout=httpx.Timeout(30, write=0.2)
                )
        done.set()


async def test_an_answer_holds_its_slot_until_its_body_has_ended_or_is_given_up(receiver: Receiver) -> None:
    async def half_an_answer(line: Line) -> None:
        await line.answer(OK[:-1])
        await line.hung_up()

    async with raw_receiver(half_an_answer) as slow, open_http(LOOPBACK, 1) as http:
        async with http.stream("GET", slow.url):
            with pytest.raises(httpx.PoolTimeout):
                await http.get(receiver.url, timeout=httpx.Timeout(30, pool=0.05))
        async with http.stream("GET", receiver.url):
            assert (await http.get(receiver.url, timeout=httpx.Timeout(30, pool=0.05))).status_code == 200


async def test_failed_requests_give_their_slots_back(receiver: Receiver) -> None:
    async with open_http([ip_network("127.0.0.1/32")], 1, resolve=resolving("10.0.0.1")) as http:
        for _ in range(3):
            with pytest.raises(AddressRefused):
                await http.get("http://hooks.example/", timeout=httpx.Timeout(30, pool=0.05))
        assert (await http.get(receiver.url)).status_code == 200


async def test_answer_that_is_not_http_is_a_remote_protocol_error(receiver: Receiver) -> None:
    receiver.answer = b"220 mail.example ESMTP\r\n\r\n"
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.RemoteProtocolError, match="not HTTP"):
            await http.get(receiver.url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "unix:///var/run/docker.sock", "/hook"])
async def test_other_schemes_are_refused(url: str) -> None:
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get(url)


async def test_header_that_would_inject_a_line_is_refused(receiver: Receiver) -> None:
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(receiver.url, headers={"x-test": "a\r\nx-injected: 1"})
    assert not receiver.requests


async def test_path_and_query_arrive_as_httpx_wrote_them(receiver: Receiver) -> None:
    async with open_http(LOOPBACK, 10) as http:
        await http.get(f"http://127.0.0.1:{receiver.port}/a%2Fb/%7Ec;d?x=%20+y&z=%C3%BC#part")
    assert receiver.requests[0].request_line == "GET /a%2Fb/%7Ec;d?x=%20+y&z=%C3%BC HTTP/1.1"


async def test_credentials_in_the_url_become_a_header(receiver: Receiver) -> None:
    async with open_http(LOOPBACK, 10) as http:
        await http.get(f"http://user:pass@127.0.0.1:{receiver.port}/")
    assert receiver.requests[0].headers["authorization"] == "Basic dXNlcjpwYXNz"


async def test_body_of_unknown_length_arrives_in_chunks() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request.set_result(await reader.readuntil(b"\r\n0\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    request = asyncio.get_running_loop().create_future()
    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_http(LOOPBACK, 10) as http:
            assert (await http.post(f"http://127.0.0.1:{port}/", content=parts())).status_code == 204
    head, _, body = (await request).partition(b"\r\n\r\n")
    assert head.lower().count(b"transfer-encoding: chunked") == 1
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
