import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network

import httpcore
import httpx
import pytest

from service.outbound import AddressRefused, Network, open_http
from service.outbound.address import Address, is_refused
from service.outbound.network import GuardedBackend, ThreadedResolver
from tests.receiver import Receiver, receiving


def words(text: str) -> list[str]:
    return text.split()


LOOPBACK: list[Network] = [ip_network("127.0.0.0/8"), ip_network("::1/128")]

REFUSED = words("""
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 168.63.129.16
169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255
198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::a00:1 100::1 2001::1
2001:2::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
fe80::1%eth0 fec0::1 ff02::1
""")

PUBLIC = words("""
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 169.253.1.1 192.0.1.1 198.17.255.255 198.20.0.1
223.255.255.255 2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 2003::1
""")

# Each is a way to write 127.0.0.1 or another private address in a URL.
DISGUISED = words("""
127.0.0.1 127.1 127.0.1 0x7f.1 0x7f000001 2130706433 017700000001 0 localhost LOCALHOST
[::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:10.0.0.1] [::127.0.0.1]
[64:ff9b::7f00:1] [64:ff9b::127.0.0.1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [fe80::1] [fc00::1]
169.254.169.254 0xa9fea9fe 2852039166 [::ffff:169.254.169.254] 100.64.0.1 100.100.100.200 127。0。0。1
""")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


def resolving(*answers: str, calls: list[str] | None = None) -> "Resolver":
    return Resolver([ip_address(answer) for answer in answers], [] if calls is None else calls)


class Resolver:
    """Stands for a DNS server that the network's other end controls."""

    def __init__(self, answers: Sequence[Address], calls: list[str]):
        self.answers = answers
        self.calls = calls

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        self.calls.append(host)
        return self.answers


@pytest.mark.parametrize("address", REFUSED)
def test_special_address_is_refused(address: str) -> None:
    assert is_refused(ip_address(address), [])


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_not_refused(address: str) -> None:
    assert not is_refused(ip_address(address), [])


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
        "To reach it all the same, name its network in POSTLUDE_WEBHOOK_ALLOW."
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


def test_allowing_a_tunnel_does_not_allow_the_private_addresses_behind_it() -> None:
    tunnels = [ip_network("64:ff9b::/96"), ip_network("2002::/16")]
    assert not is_refused(ip_address("64:ff9b::8.8.8.8"), tunnels)
    assert not is_refused(ip_address("2002:808:808::"), tunnels)
    assert is_refused(ip_address("64:ff9b::127.0.0.1"), tunnels)
    assert is_refused(ip_address("2002:7f00:1::"), tunnels)


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


async def test_system_resolver_gives_every_address_without_blocking_the_loop() -> None:
    resolver = ThreadedResolver(2)
    try:
        assert ip_address("127.0.0.1") in await resolver("localhost", 80)
    finally:
        resolver.close()


async def test_unix_sockets_are_refused() -> None:
    with pytest.raises(httpcore.UnsupportedProtocol):
        await GuardedBackend([], resolving()).connect_unix_socket("/tmp/any.sock")


async def test_environment_gives_no_proxy(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with open_http(LOOPBACK, 10) as http:
        assert (await http.get(receiver.url)).status_code == 200


async def test_client_introduces_itself_and_follows_no_redirect(receiver: Receiver) -> None:
    receiver.respond("302 Found", location=receiver.url + "/elsewhere")
    async with open_http(LOOPBACK, 10) as http:
        assert (await http.get(receiver.url)).status_code == 302
    assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["user-agent"].startswith("Postlude/")


async def test_cookies_of_one_answer_do_not_travel_with_the_next_request(receiver: Receiver) -> None:
    receiver.respond("200 OK", set_cookie="session=theirs; Path=/")
    async with open_http(LOOPBACK, 10) as http:
        await http.get(receiver.url)
        await http.get(receiver.url)
    assert "cookie" not in receiver.requests[1].headers


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


async def test_answer_that_breaks_off_raises_httpx_own_error(receiver: Receiver) -> None:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        writer.close()

    receiver.answer = break_off
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(receiver.url)
