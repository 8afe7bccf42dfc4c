"""What a connection may send, and how long it may take, before anybody is asked for a key."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import httpx
import pytest

from service.settings import Settings
from service.web.bounds import Bounded
from service.web.taking import Taking
from tests.service.api.driving import on_sqlite, post
from tests.support.hostile import MIB, Answer, ask, raw
from tests.support.running import eventually, running_api

pytestmark = on_sqlite

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\n"
JOB = b'{"kind":"update_stats","args":{"subject":"s","event":"e"}}'
CLOSE = b"Connection: close\r\n"


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let APIs of this process wait for nobody from now on."""
    for name in ("head_within_s", "body_within_s", "rest_within_s", "linger_s"):
        monkeypatch.setattr(Bounded, name, 0.3)
    monkeypatch.setattr(Taking, "within_s", 0.3)


@pytest.fixture
async def hurried(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """An API that waits for nobody."""
    hurry(monkeypatch)
    async with running_api(settings) as client:
        yield client


def assert_refusal(answer: Answer, status: int, name: str) -> None:
    """Check that a connection ends with one problem."""
    assert answer.status == status
    head, _, body = answer.text.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    problem = json.loads(body)
    assert (problem["type"], problem["status"]) == (f"urn:postlude:problem:{name}", status)
    assert problem["title"]
    assert problem["detail"]


async def test_a_url_beyond_32_kib_is_414(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/jobs", params={"tag": "x" * 30_000})).status_code == 200
    for path in (b"/" + b"x" * 40_000, b"/v1/jobs?tag=" + b"x" * 40_000, b"/v1/jobs/" + b"x" * MIB):
        answer = await ask(api, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert_refusal(answer, 414, "url-too-long")


async def test_a_head_beyond_64_kib_or_200_headers_is_431(api: httpx.AsyncClient) -> None:
    assert (await ask(api, GET + CLOSE + b"X: y\r\n" * 150 + b"\r\n")).status == 200
    assert (await ask(api, GET + CLOSE + b"X: " + b"y" * 50_000 + b"\r\n\r\n")).status == 200
    for headers in (b"X: y\r\n" * 300, b"X: " + b"y" * 70_000 + b"\r\n"):
        assert_refusal(await ask(api, GET + headers + b"\r\n"), 431, "headers-too-large")


@pytest.mark.parametrize("piece", [b"X: " + b"y" * 8_000 + b"\r\n", b"y" * 8_000], ids=["headers", "one header"])
async def test_headers_without_end_are_not_read_to_their_end(api: httpx.AsyncClient, piece: bytes) -> None:
    async with raw(api) as client:
        sent = await client.flood(piece, 50 * MIB, GET + b"X: ")
        assert sent < 50 * MIB
        assert await client.is_dropped()


async def test_a_url_without_end_is_not_read_to_its_end(api: httpx.AsyncClient) -> None:
    async with raw(api) as client:
        assert await client.flood(b"x" * 8_000, 40 * MIB, b"GET /") < 40 * MIB
        assert await client.is_dropped()


async def test_chunks_with_more_around_them_than_in_them_are_refused(api: httpx.AsyncClient) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    extension, trailer = b"1;" + b"e" * 8_000 + b"\r\n \r\n", b"T: " + b"t" * 8_000 + b"\r\n"
    for first, piece in ((head, extension), (head + b"0\r\n", trailer)):
        async with raw(api) as client:
            assert await client.flood(piece, 50 * MIB, first) < 50 * MIB
            assert await client.is_dropped()


async def test_a_body_in_small_chunks_is_accepted(api: httpx.AsyncClient) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in JOB) + b"0\r\n\r\n"
    assert (await ask(api, POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)).status == 202


async def test_a_trailer_is_no_header(api: httpx.AsyncClient) -> None:
    chunks = b"%x\r\n%s\r\n0\r\nIdempotency-Key: \r\n\r\n" % (len(JOB), JOB)
    assert (await ask(api, POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)).status == 202


@pytest.mark.parametrize("sent", [b"", GET, GET[:3], b"\r\n", GET + b"\r\n" + GET], ids=repr)
async def test_a_head_that_does_not_come_in_time_ends_the_connection(hurried: httpx.AsyncClient, sent: bytes) -> None:
    async with raw(hurried) as client:
        await client.send(sent)
        assert await client.is_dropped()


async def test_a_head_that_drips_ends_the_connection(hurried: httpx.AsyncClient) -> None:
    async with raw(hurried) as client:

        async def drip() -> bool:
            return not await client.send(b"X: y\r\n") or client.reader.at_eof()

        await client.send(GET)
        answer = asyncio.create_task(client.answer())
        await eventually(drip)
        assert (await answer).status in (408, 0)


async def test_empty_lines_between_requests_do_not_keep_a_connection(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw(api) as client:
        await client.send(GET + b"\r\n")
        await client.reader.readuntil(b'"ok"}')
        hurry(monkeypatch)

        async def drip() -> bool:
            return not await client.send(b"\r\n") or client.reader.at_eof()

        await eventually(drip)


async def test_a_body_that_does_not_come_in_time_is_408(hurried: httpx.AsyncClient) -> None:
    for body in (b"", JOB[:10]):
        async with raw(hurried) as client:
            await client.send(POST + b"Content-Length: 1000\r\n\r\n" + body)
            assert_refusal(await client.answer(), 408, "request-too-slow")


async def test_a_request_whose_body_breaks_off_in_nonsense_is_400(api: httpx.AsyncClient) -> None:
    answer = await ask(api, POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nnonsense\r\n")
    assert_refusal(answer, 400, "not-http")


async def test_a_refusal_is_never_sent_in_place_of_another_answer(api: httpx.AsyncClient) -> None:
    job = await post(api)
    waits = b"GET /v1/jobs/%s?wait=1 HTTP/1.1\r\nHost: x\r\n\r\n" % job["id"].encode()
    assert (await ask(api, waits + POST + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n")).status == 0


async def test_a_body_that_comes_slowly_but_comes_is_accepted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bounded, "body_within_s", 2.0)
    async with running_api(settings) as api, raw(api) as client:
        body = JOB + b" " * 40_000
        await client.send(POST + CLOSE + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 4_000):
            await client.send(body[start : start + 4_000])
            await asyncio.sleep(0.3)
        assert (await client.answer()).status == 202


async def test_the_rest_of_a_refused_body_is_not_awaited_for_ever(hurried: httpx.AsyncClient) -> None:
    async with raw(hurried) as client:
        await client.flood(b" " * 64_000, 10_000 * MIB, POST + b"Content-Length: 99999999999\r\n\r\n")
        assert (await client.answer()).status in (413, 0)


async def test_a_connection_whose_body_came_after_its_answer_goes_on(api: httpx.AsyncClient) -> None:
    async with raw(api) as client:
        await client.send(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        await client.send(b"12345" + GET + CLOSE + b"\r\n")
        assert b'{"status":"ok"}' in (await client.answer()).text


async def test_a_peer_that_reads_nothing_is_dropped(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        await post(api, subject="s" * 100 + str(number), tags=["t" * 90 + str(tag) for tag in range(20)])
    hurry(monkeypatch)
    async with raw(api) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the stream's own
        for _ in range(50):
            await client.send(b"GET /v1/jobs?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n")

        async def dropped() -> bool:
            return not await client.send(b"\r\n")

        await eventually(dropped)


async def test_a_connection_is_closed_once_no_request_has_come_for_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Bounded.connection_made

    def hurry(protocol: Bounded, transport: asyncio.Transport) -> None:
        protocol.timeout_keep_alive = cast(int, 2.0)
        made(protocol, transport)

    monkeypatch.setattr(Bounded, "connection_made", hurry)
    async with running_api(settings) as api, raw(api) as client:
        for _ in range(3):  # longer than that, but never without a request for so long
            await client.send(GET + b"\r\n")
            assert (await client.reader.read(MIB)).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.9)
        assert not client.reader.at_eof()
        assert await client.is_dropped()


async def test_two_hundred_and_fifty_slow_connections_are_all_dropped(hurried: httpx.AsyncClient) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(hurried)) for _ in range(250)]
        for client in clients:
            await client.send(GET)
        assert all(await asyncio.gather(*(client.is_dropped() for client in clients)))


async def test_when_all_connections_are_taken_the_one_idle_for_longest_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bounded, "most_connections", 20)
    async with running_api(settings) as api, AsyncExitStack() as stack:
        first = await stack.enter_async_context(raw(api))
        for _ in range(40):
            await stack.enter_async_context(raw(api))
        assert (await api.get("/healthz")).status_code == 200
        assert await first.is_dropped(5)


async def test_when_all_connections_are_busy_another_is_503(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bounded, "most_connections", 10)
    async with running_api(settings) as api, AsyncExitStack() as stack:
        job = await post(api)
        for _ in range(20):
            busy = await stack.enter_async_context(raw(api))
            await busy.send(b"GET /v1/jobs/%s?wait=5 HTTP/1.1\r\nHost: x\r\n\r\n" % job["id"].encode())
        async with raw(api) as client:
            assert (await client.answer()).status in (503, 0)


async def test_requests_sent_without_reading_answers_are_bounded(api: httpx.AsyncClient) -> None:
    few = await ask(api, (GET + b"\r\n") * 30 + GET + CLOSE + b"\r\n")
    assert few.text.count(b"200 OK") == 31
    job = await post(api)
    async with raw(api) as client:
        await client.send(b"GET /v1/jobs/%s?wait=5 HTTP/1.1\r\nHost: x\r\n\r\n" % job["id"].encode())
        await client.send((GET + b"\r\n") * 5_000)
        assert await client.is_dropped(20)


SMUGGLED = {
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    "a length that is none": POST + b"Content-Length: +5\r\n\r\n12345",
    "unknown coding": POST + b"Transfer-Encoding: chunked, nope\r\n\r\n0\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 5\r\n\r\n12345",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no path": b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that is no ASCII": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("request_", SMUGGLED.values(), ids=SMUGGLED)
async def test_requests_that_are_not_plain_http_are_400(api: httpx.AsyncClient, request_: bytes) -> None:
    assert (await ask(api, request_)).status == 400


async def test_a_request_that_wants_another_protocol_is_answered_in_this_one(api: httpx.AsyncClient) -> None:
    for upgrade in (b"websocket", b"h2c"):
        head = GET + b"Connection: Upgrade\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
        answer = await ask(api, head + b"Upgrade: %s\r\n\r\n" % upgrade)
        assert answer.status == 200
        assert b"connection: close" in answer.text


async def test_a_client_that_asks_whether_to_send_its_body_is_told(api: httpx.AsyncClient) -> None:
    async with raw(api) as client:
        await client.send(POST + CLOSE + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(JOB))
        assert b"100 Continue" in await client.reader.readuntil(b"\r\n\r\n")
        await client.send(JOB)
        assert (await client.answer()).status == 202
    head = POST + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    assert (await ask(api, head)).status == 413
