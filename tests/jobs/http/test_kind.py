"""`call_http`, over sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest

from jobs import Context, Discard, Lane, Retry
from jobs.http import CallHttpArgs, call_http
from jobs.http.failures import AnswerUnexpected, StatusRefused
from jobs.kit.masking import MASK
from jobs.webhook.answer import RESPONSE_CAP_BYTES
from jobs.webhook.failures import AddressRefused, ConnectionLost, HttpStatusError
from service.outbound import open_http
from service.worker.performing.result import kept_result
from tests.support.fakes import fake_context
from tests.support.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    async with open_http([ip_network("127.0.0.0/8")], 10) as http:
        yield fake_context(http=http)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf")
    writer.close()


def call(receiver: Receiver, **args: Any) -> CallHttpArgs:
    return CallHttpArgs.model_validate({"url": receiver.url} | args)


async def test_the_request_is_what_was_asked_for(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("200 OK", b'{"took": 3}', content_type="application/vnd.api+json; charset=utf-8")
    result = await call_http(ctx, call(receiver, method="PUT", json={"a": "ü"}, headers={"User-Agent": "Shop/1"}))
    assert (result.status, result.body, result.truncated) == (200, {"took": 3}, False)
    receiver.respond("200 OK", b"as it is")
    bulk = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "own"}
    result = await call_http(ctx, call(receiver, method="POST", body='{"index":{}}\n', headers=bulk))
    assert result.body == "as it is"
    await call_http(ctx, call(receiver, url=f"{receiver.url}?q=%20a&b"))

    put, post, get = receiver.requests
    assert (put.request_line, put.body) == ("PUT /hook HTTP/1.1", '{"a":"ü"}'.encode())
    assert (put.headers["content-type"], put.headers["user-agent"]) == ("application/json", "Shop/1")
    assert put.headers["idempotency-key"] == ctx.job_id
    assert (post.body, post.headers["content-type"]) == (b'{"index":{}}\n', "application/x-ndjson")
    assert post.headers["idempotency-key"] == "own"
    assert get.request_line == "GET /hook?q=%20a&b HTTP/1.1"
    assert not {"content-type", "content-length", "idempotency-key"} & get.headers.keys()
    assert call_http.lane_of(call(receiver)) == Lane(f"host:127.0.0.1:{receiver.port}")


async def test_a_status_decides_whether_it_is_done_over_or_tried_again(ctx: Context, receiver: Receiver) -> None:
    for status in ("408 Timeout", "425 Early", "429 Slow down", "500 Oops", "503 Busy"):
        receiver.respond(status, b"later")
        with pytest.raises(HttpStatusError, match=f"^127.0.0.1 answered {status}: later$"):
            await call_http(ctx, call(receiver))
    for status in ("400 Bad", "401 No", "404 Missing", "304 Same", "302 Found"):
        receiver.respond(status)
        with pytest.raises(StatusRefused, match=f"answered {status}") as refused:
            await call_http(ctx, call(receiver))
        assert isinstance(refused.value, Discard)
        assert (await call_http(ctx, call(receiver, expect=[int(status[:3])]))).status == int(status[:3])
    receiver.respond("200 OK")
    with pytest.raises(StatusRefused):
        await call_http(ctx, call(receiver, method="DELETE", expect=["202-204", 404]))
    receiver.answer = hang_up
    with pytest.raises(ConnectionLost):
        await call_http(ctx, call(receiver, method="POST"))
    receiver.respond("503 Busy", retry_after="30")
    with pytest.raises(HttpStatusError, match="it asks for a wait of 30 s") as held:
        await call_http(ctx, call(receiver))
    assert (held.value.hold_lane and held.value.hold_lane.total_seconds()) == 30


async def test_an_answer_that_says_otherwise_is_no_success(ctx: Context, receiver: Receiver) -> None:
    expected = {"errors": False, "items.0.index.status": 201}
    bulk = call(receiver, method="POST", body="{}\n", expect_json=expected)
    good = {"errors": False, "items": [{"index": {"status": 201}}]}
    receiver.respond("200 OK", json.dumps(good).encode(), content_type="application/json")
    assert (await call_http(ctx, bulk)).body == good
    receiver.respond("200 OK", json.dumps(good).encode("utf-8-sig"), content_type="application/json")
    assert (await call_http(ctx, bulk)).body == good
    answers = {
        json.dumps(good | {"errors": True}): "errors is True, not False",
        json.dumps(good | {"errors": 0}): "errors is 0, not False",
        json.dumps(good | {"items": []}): "without items.0.index.status",
        "[]": "without errors",
        "null": "without errors",
        "{": "not with JSON",
        json.dumps(good | {"more": "x" * RESPONSE_CAP_BYTES}): "more than can be read",
    }
    for body, told in answers.items():
        receiver.respond("200 OK", body.encode(), content_type="application/json")
        with pytest.raises(AnswerUnexpected, match=f"answered 200 OK, but .*{told}") as unexpected:
            await call_http(ctx, bulk)
        assert isinstance(unexpected.value, Retry)
        assert len(str(unexpected.value)) < 2_500


async def test_what_is_kept_of_an_answer_is_bounded_readable_and_without_secrets(
    ctx: Context, receiver: Receiver
) -> None:
    headers = {"Authorization": "Bearer abcdefgh-secret", "Accept": "application/json"}
    told = {"you": "abcdefgh-secret", "type": "application/json"}
    receiver.respond("200 OK", json.dumps(told).encode(), content_type="application/json")
    assert (await call_http(ctx, call(receiver, headers=headers))).body == told | {"you": MASK}
    for body in (b'"\x00' * RESPONSE_CAP_BYTES, b"\xff" * (RESPONSE_CAP_BYTES + 1), b"[" * 5_000):
        receiver.respond("200 OK", body, content_type="application/json")
        result = await call_http(ctx, call(receiver))
        assert isinstance(result.body, str)
        assert result.truncated == (len(body) > RESPONSE_CAP_BYTES)
        assert "\x00" not in result.body
        kept_result(call_http.dump_result(result))
    receiver.answer = half
    result = await call_http(ctx, call(receiver))
    assert (result.body, result.truncated) == ("half", True)


async def test_private_addresses_are_refused(receiver: Receiver) -> None:
    async with open_http([], 1) as http:
        with pytest.raises(AddressRefused):
            await call_http(fake_context(http=http), call(receiver))
