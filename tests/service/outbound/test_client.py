import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address, ip_network

import httpx
import pytest
import trustme

from service.outbound import AddressRefused, Network, open_http
from service.outbound.address import Address, is_refused
from service.outbound.connector import GuardedConnector
from service.outbound.resolver import ThreadedResolver
from tests.support.raw_receiver import OK, Line, raw_receiver
from tests.support.receiver import Receiver, receiving
from tests.support.running import eventually


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

# Ways to write 127.0.0.1 or another private address in a URL.
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
    """Stands in for a DNS server that an attacker controls."""

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
async def test_invalid_name_is_a_connect_error(host: str) -> None:
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


async def test_system_resolver_returns_every_address_without_blocking_the_loop() -> None:
    resolver = ThreadedResolver(2)
    try:
        assert ip_address("127.0.0.1") in await resolver("localhost", 80)
    finally:
        resolver.close()


async def test_name_whose_servers_are_silent_blocks_one_thread_and_no_other_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent, asked = threading.Event(), list[str]()

    def getaddrinfo(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "silent.example":
            silent.wait(60)
        return ["192.0.2.1"]

    monkeypatch.setattr("service.outbound.resolver._getaddrinfo", getaddrinfo)
    resolver = ThreadedResolver(2)
    try:
        waiting = [asyncio.create_task(resolver("silent.example", 80)) for _ in range(5)]
        await asyncio.sleep(0)
        assert await resolver("other.example", 80) == [ip_address("192.0.2.1")]
        waiting[0].cancel()
        silent.set()
        assert await asyncio.gather(*waiting[1:]) == [[ip_address("192.0.2.1")]] * 4
        assert asked.count("silent.example") == 1
    finally:
        silent.set()
        resolver.close()


async def test_proxy_settings_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_answer_that_stalls_is_a_read_timeout(receiver: Receiver, answer: bytes) -> None:
    receiver.answer = answer
    async with open_http(LOOPBACK, 10) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(receiver.url, timeout=httpx.Timeout(30, read=0.1))


async def test_body_that_is_not_read_is_a_write_timeout() -> None:
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


async def test_failed_requests_free_their_slots(receiver: Receiver) -> None:
    async with open_http([ip_network("127.0.0.1/32")], 1, resolve=resolving("10.0.0.1")) as http:
        for _ in range(3):
            with pytest.raises(AddressRefused):
                await http.get("http://hooks.example/", timeout=httpx.Timeout(30, pool=0.05))
        assert (await http.get(receiver.url)).status_code == 200


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


async def test_error_of_a_request_without_layers_names_its_request() -> None:
    request = httpx.Request("POST", "http://127.0.0.1:9/", extensions={"timeout": {"connect": 1}})
    async with open_http([], 10) as http:
        with pytest.raises(AddressRefused) as refused:
            await http.send(request, stream=True, auth=None, follow_redirects=False)
    assert refused.value.request is request
