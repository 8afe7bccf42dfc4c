"""Once a complete final head is read, its status decides, whatever else the receiver does."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network

import httpx
import pytest

from jobs.kit.http_errors import NotHttp
from service.outbound import open_http
from service.outbound.answer import MAX_HEAD_BYTES, MAX_INTERIM
from service.outbound.head import MAX_FIELDS
from tests.support.raw_receiver import OK, Line, always, raw_receiver

BODY = b"HTTP/1.1 200 OK\r\n"


CHUNKED = BODY + b"transfer-encoding: chunked\r\n\r\n"


FIELDS = b"".join(b"x-%d: y\r\n" % number for number in range(150))


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http([ip_network("127.0.0.0/8")], 10) as http:
        yield http


async def status_of(http: httpx.AsyncClient, url: str) -> int:
    async with http.stream("POST", url, content=b"{}", timeout=30) as answer:
        return answer.status_code


ODD_ANSWERS = {
    "no length, no close": BODY + b"\r\n",
    "less body than its length": BODY + b"content-length: 10\r\n\r\nhalf",
    "more body than its length": BODY + b"content-length: 2\r\n\r\nok and more",
    "a second answer behind it": OK + b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
    "the beginning of a second answer behind it": OK + b"HTTP/1.1 5",
    "150 fields": BODY + FIELDS + b"content-length: 0\r\n\r\n",
    "a field of 60 KiB": BODY + b"x: " + b"y" * 60_000 + b"\r\n\r\n",
    "a length that is no number": BODY + b"content-length: many\r\n\r\nok",
    "a negative length": BODY + b"content-length: -1\r\n\r\nok",
    "an empty length": BODY + b"content-length:\r\n\r\nok",
    "a length beyond all bounds": BODY + b"content-length: " + b"9" * 30 + b"\r\n\r\nok",
    "the same length twice": BODY + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    "two lengths": BODY + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok",
    "a list of lengths": BODY + b"content-length: 2, 3\r\n\r\nok",
    "length and chunks": BODY + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "an unknown coding": BODY + b"transfer-encoding: rot13\r\n\r\nbx",
    "chunks without a size": CHUNKED + b"not hex\r\n",
    "chunks longer than their size": CHUNKED + b"2\r\nokok\r\n0\r\n\r\n",
    "chunks that break off": CHUNKED + b"ff\r\nok",
    "a chunk of a terabyte": CHUNKED + b"10000000000\r\nok",
    "a size line without end": CHUNKED + b"1;" + b"x" * 100_000,
    "a field without colon": BODY + b"nonsense\r\ncontent-length: 0\r\n\r\n",
    "a field with a space in its name": BODY + b"x y: z\r\ncontent-length: 0\r\n\r\n",
    "a space before the colon": BODY + b"content-length : 0\r\n\r\n",
    "a field without name": BODY + b": x\r\n\r\n",
    "a folded field": BODY + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "a fold before the first field": BODY + b" a\r\ncontent-length: 0\r\n\r\n",
    "control bytes in a value": BODY + b"x: a\x00b\x01\x7f\rc\r\ncontent-length: 0\r\n\r\n",
    "bytes of no encoding": BODY + b"x: \xff\xfe\r\ncontent-length: 0\r\n\r\n",
    "bytes of no encoding in a name": BODY + b"\xff\xfe: x\r\ncontent-length: 0\r\n\r\n",
    "bytes of no encoding in the reason": b"HTTP/1.1 200 \xff\xfe\x00\r\ncontent-length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
    "an empty reason": b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    "two spaces": b"HTTP/1.1  200  OK\r\ncontent-length: 0\r\n\r\n",
    "ends of lines without CR": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\nok",
    "empty lines before it": b"\r\n\n" + OK,
    "no fields": BODY + b"\r\n",
    "an interim answer before it": b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
    "some interim answers before it": b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INTERIM + OK,
    "gzip that is none": BODY + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
    "a hundred cookies": BODY + b"set-cookie: a=b\r\n" * 100 + b"content-length: 0\r\n\r\n",
    "websocket fields": BODY + b"sec-websocket-key1: x\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
async def test_complete_head_decides_however_odd_it_and_its_body_are(http: httpx.AsyncClient, answer: bytes) -> None:
    async with raw_receiver(always(answer)) as receiver:
        assert await status_of(http, receiver.url) == 200
        assert await status_of(http, receiver.url) == 200
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_bodiless_answer_that_has_a_body_counts_by_its_status(http: httpx.AsyncClient, status: int) -> None:
    odd = b"HTTP/1.1 %d Odd\r\ncontent-length: 5\r\n\r\nhello" % status
    async with raw_receiver(always(odd)) as receiver:
        assert await status_of(http, receiver.url) == status
        assert await status_of(http, receiver.url) == status
    assert receiver.connections == 2


@pytest.mark.parametrize("status", [200, 299, 300, 404, 410, 500, 599])
async def test_every_status_of_http_arrives(http: httpx.AsyncClient, status: int) -> None:
    async with raw_receiver(always(b"HTTP/1.1 %d Any\r\ncontent-length: 0\r\n\r\n" % status)) as receiver:
        assert await status_of(http, receiver.url) == status


async def test_switching_protocols_is_final_and_ends_the_connection(http: httpx.AsyncClient) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n\x81\x02hi"
    async with raw_receiver(always(switching)) as receiver:
        assert await status_of(http, receiver.url) == 101
        assert await status_of(http, receiver.url) == 101
    assert receiver.connections == 2


NO_ANSWERS = {
    "status 099": b"HTTP/1.1 099 Odd\r\n\r\n",
    "status 600": b"HTTP/1.1 600 Odd\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 Odd\r\n\r\n",
    "a status in words": b"HTTP/1.1 OK\r\n\r\n",
    "a banner of SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a banner of SMTP": b"220 mail.example ESMTP\r\n",
    "an alert of TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "a frame of HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "a page without a head": b"<html>hello</html>",
    "a head without a status": b"content-length: 0\r\n\r\n",
    "too many fields": BODY + b"x: y\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "a head too long": BODY + b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\n\r\n",
    "a head without end": BODY + b"x: " + b"y" * 2 * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("talk", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_bytes_that_are_not_an_answer_fail_at_once_and_not_by_a_timeout(
    http: httpx.AsyncClient, talk: bytes
) -> None:
    async with raw_receiver(always(talk)) as receiver:
        async with asyncio.timeout(10):
            with pytest.raises(NotHttp):
                await http.post(receiver.url, timeout=None)


async def test_flood_of_interim_answers_is_cut_off(http: httpx.AsyncClient) -> None:
    said = 0

    async def flood(line: Line) -> None:
        nonlocal said
        await line.request()
        while True:
            await line.say(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
            said += 1

    async with raw_receiver(flood) as receiver:
        async with asyncio.timeout(10):
            with pytest.raises(NotHttp, match="interim"):
                await http.post(receiver.url, timeout=None)
    assert said < 1000


async def test_answer_before_the_body_is_sent_counts() -> None:
    async def refuse(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await line.hung_up()

    async with raw_receiver(refuse) as receiver, open_http([ip_network("127.0.0.0/8")], 10) as http:
        answer = await http.post(receiver.url, content=bytes(20_000_000))
    assert answer.status_code == 413


async def test_body_that_hangs_does_not_keep_the_head_back(http: httpx.AsyncClient) -> None:
    async with (
        raw_receiver(always(BODY + b"content-length: 10\r\n\r\n")) as receiver,
        asyncio.timeout(10),
        http.stream("POST", receiver.url, timeout=None) as answer,
    ):
        assert answer.status_code == 200
