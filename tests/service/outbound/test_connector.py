import asyncio
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_network

import httpx
import pytest
import trustme

from service.outbound import AddressRefused, open_http
from service.outbound.address import Address
from service.outbound.connector import GuardedConnector
from tests.service.outbound.resolving import LOOPBACK, resolving, words
from tests.support.receiver import Receiver
from tests.support.running import eventually

# Each is a way to write 127.0.0.1 or another private address in a URL.
DISGUISED = words("""
127.0.0.1 127.1 127.0.1 0x7f.1 0x7f000001 2130706433 017700000001 0 localhost LOCALHOST
[::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] [::127.0.0.1]
[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [fe80::1] [fc00::1]
169.254.169.254 0xa9fea9fe 2852039166 [::ffff:169.254.169.254] 100.64.0.1 100.100.100.200 127。0。0。1
""")


@pytest.mark.parametrize("host", DISGUISED)
async def test_private_address_is_refused_however_it_is_written(host: str) -> None:
    async with open_http([], 10) as http:
        with pytest.raises(AddressRefused):
            await http.post(f"http://{host}:9/")


async def test_refusal_is_a_connect_error_that_says_what_to_do() -> None:
    async with open_http([], 10, resolve=resolving("10.1.2.3")) as http:
        with pytest.raises(httpx.ConnectError) as refused:
            await http.get("http://hooks.example/")
    assert isinstance(refused.value, AddressRefused)
    assert refused.value.request.url.host == "hooks.example"
    assert str(refused.value) == (
        "hooks.example resolves to 10.1.2.3, not a public address. "
        "To reach it anyway, name its network in POSTLUDE_WEBHOOK_ALLOW."
    )


@pytest.mark.parametrize("answers", [("8.8.8.8", "10.0.0.1"), ("127.0.0.1", "::1"), ("127.0.0.1", "::ffff:10.0.0.1")])
async def test_one_refused_answer_among_several_refuses_the_name(receiver: Receiver, answers: tuple[str, ...]) -> None:
    async with open_http([ip_network("127.0.0.1/32")], 10, resolve=resolving(*answers)) as http:
        with pytest.raises(AddressRefused):
            await http.get(f"http://hooks.example:{receiver.port}/")
    assert receiver.connections == 0


async def test_the_checked_address_is_dialled_and_the_name_is_resolved_once(receiver: Receiver) -> None:
    calls: list[str] = []
    async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.1", calls=calls)) as http:
        answer = await http.get(f"http://rebinding.invalid:{receiver.port}/")
    assert answer.status_code == 200
    assert calls == ["rebinding.invalid"]
    assert receiver.requests[0].headers["host"] == f"rebinding.invalid:{receiver.port}"


async def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    hello = asyncio.get_running_loop().create_future()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.set_result(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.1")) as http:
            with pytest.raises(httpx.ConnectError):
                await http.get(f"https://hooks.example.test:{port}/")
    assert b"hooks.example.test" in await hello


async def test_allowed_network_is_reached(receiver: Receiver) -> None:
    async with open_http([ip_network("127.0.0.0/8")], 10) as http:
        assert (await http.get(receiver.url)).text == "ok"
        assert (await http.get(f"http://[::ffff:127.0.0.1]:{receiver.port}/")).text == "ok"
        with pytest.raises(AddressRefused):
            await http.get(f"http://[::1]:{receiver.port}/")


async def test_second_address_is_dialled_when_the_first_does_not_answer(receiver: Receiver) -> None:
    async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.2", "127.0.0.1")) as http:
        assert (await http.get(f"http://hooks.example:{receiver.port}/")).status_code == 200


async def test_refused_connection_says_where_and_why() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with open_http(LOOPBACK, 10) as http:
            with pytest.raises(httpx.ConnectError, match=rf"'127\.0\.0\.1', {port}"):
                await http.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_name_that_cannot_be_a_name_is_a_connect_error(host: str) -> None:
    async with open_http([], 10) as http:
        with pytest.raises(httpx.ConnectError, match="does not resolve"):
            await http.get(f"http://{host}/")


async def test_name_that_does_not_resolve_is_a_connect_error_and_not_a_refusal() -> None:
    async def unknown(host: str, port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with open_http([], 10, resolve=unknown) as http:
        with pytest.raises(httpx.ConnectError, match=r"does not resolve: .*not known") as error:
            await http.get("http://nowhere.example/")
    assert not isinstance(error.value, AddressRefused)


async def test_slow_resolver_ends_as_connect_timeout() -> None:
    async def never(host: str, port: int) -> Sequence[Address]:
        await asyncio.Event().wait()
        return []

    async with open_http([], 10, resolve=never) as http:
        with pytest.raises(httpx.ConnectTimeout, match=r"hooks\.example"):
            await http.get("http://hooks.example/", timeout=0.05)


async def test_as_many_connections_are_kept_as_may_be_open(receiver: Receiver) -> None:
    everyone = asyncio.Barrier(40)

    async def together(writer: asyncio.StreamWriter) -> None:
        await everyone.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    receiver.answer = together
    async with open_http(LOOPBACK, 40) as http:
        for _ in range(3):
            await asyncio.gather(*(http.get(receiver.url) for _ in range(40)))
    assert receiver.connections == 40


async def test_one_connection_serves_one_post_after_the_other(receiver: Receiver) -> None:
    async with open_http(LOOPBACK, 10) as http:
        for _ in range(5):
            await http.post(receiver.url, json={"id": 7})
    assert receiver.connections == 1


async def test_idle_connections_to_many_hosts_are_no_more_than_may_be_open(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def three_are_left() -> bool:
        return len(receiver.writers) == 3

    monkeypatch.setattr("service.outbound.connector.KEEPALIVE_S", 600)
    async with open_http(LOOPBACK, 3, resolve=resolving("127.0.0.1")) as http:
        for number in range(12):
            await http.get(f"http://hooks-{number}.example:{receiver.port}/")
        assert receiver.connections == 12
        await eventually(three_are_left)


async def test_connection_that_the_other_end_closed_while_idle_is_not_used_again(receiver: Receiver) -> None:
    async def all_are_closed() -> bool:
        return not receiver.writers

    async with open_http(LOOPBACK, 10) as http:
        await http.post(receiver.url)
        for writer in list(receiver.writers):
            writer.close()
        await eventually(all_are_closed)
        assert (await http.post(receiver.url)).status_code == 200
    assert receiver.connections == 2


def test_socket_to_a_refused_address_is_not_opened_whichever_way_it_got_there() -> None:
    async def open_one() -> None:
        connector = GuardedConnector([], 10, resolving())
        with pytest.raises(AddressRefused):
            connector._checked_socket((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("::ffff:127.0.0.1", 80, 0, 0)))
        await connector.close()

    asyncio.run(open_one())


async def test_certificate_of_an_unknown_authority_is_a_connect_error() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("hooks.example").configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_http(LOOPBACK, 10, resolve=resolving("127.0.0.1")) as http:
            with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                await http.get(f"https://hooks.example:{port}/")
