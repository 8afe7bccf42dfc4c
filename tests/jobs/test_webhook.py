import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from jobs import Context, Discard, Retry
from jobs.webhook import EXCERPT_BYTES, RESPONSE_CAP_BYTES, SendWebhookArgs, SendWebhookResult, send_webhook
from service.outbound import open_http
from tests.fakes import fake_context
from tests.receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def words(text: str) -> list[str]:
    return text.split()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def ctx() -> AsyncIterator[Context]:
    async with open_http([ip_network("127.0.0.0/8")], 10) as http:
        yield fake_context(http=http)


def webhook(url: str = "https://example.com/hook", **fields: Any) -> SendWebhookArgs:
    return SendWebhookArgs.model_validate({"url": url, "event": "invoice.paid", "data": {"id": 7}} | fields)


def stored(args: SendWebhookArgs) -> SendWebhookArgs:
    """Give the args as an attempt reads them from the ledger."""
    _, whole = send_webhook.dump_args(args)
    assert whole is not None
    return send_webhook.load_args(whole)


async def test_receiver_can_verify_what_arrives(ctx: Context, receiver: Receiver) -> None:
    args = webhook(receiver.url, secret=SECRET, headers={"Authorization": "Bearer abc", "X-Text": "ü"})
    result = await send_webhook(ctx, stored(args))

    [request] = receiver.requests
    body = Webhook(SECRET).verify(request.body, request.headers)
    assert body == {"type": "invoice.paid", "timestamp": "2026-01-02T03:04:05.000Z", "data": {"id": 7}}
    assert request.request_line == "POST /hook HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == "Bearer abc"
    assert b" " not in request.body
    assert (result.status, result.response_excerpt, result.response_truncated) == (200, "ok", False)
    assert 0 <= result.duration_ms < 10_000


async def test_id_and_body_are_the_same_on_every_attempt(ctx: Context, receiver: Receiver) -> None:
    args = webhook(receiver.url, data={"z": 1.50, "a": [10**30, "ü", None]})
    await send_webhook(ctx, stored(args))
    await send_webhook(ctx, stored(args))

    first, second = receiver.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == ctx.job_id
    assert "webhook-signature" not in first.headers


@pytest.mark.parametrize("job_id", ["a.b", "line\r\nx-injected: 1", "ümlaut", "with space"])
async def test_any_adopted_job_id_becomes_a_valid_webhook_id(ctx: Context, receiver: Receiver, job_id: str) -> None:
    context = fake_context(http=ctx.http, job_id=job_id)
    await send_webhook(context, webhook(receiver.url, secret=SECRET))
    await send_webhook(context, webhook(receiver.url, secret=SECRET))
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-id"].isalnum()
    Webhook(SECRET).verify(first.body, first.headers)


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "202 Accepted", "204 No Content", "299 Odd"])
async def test_every_2xx_succeeds(ctx: Context, receiver: Receiver, status: str) -> None:
    receiver.respond(status)
    assert (await send_webhook(ctx, webhook(receiver.url))).status == int(status[:3])


@pytest.mark.parametrize("status", ["500 Oops", "502 Bad", "503 Busy", "599 Odd", "408 Timeout", "429 Slow down"])
async def test_passing_trouble_is_tried_again_and_its_message_has_status_and_excerpt(
    ctx: Context, receiver: Receiver, status: str
) -> None:
    receiver.respond(status, b"try later")
    with pytest.raises(Retry, match=f"^127.0.0.1 answered {status}: try later$") as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert retry.value.after is None


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 Missing", "410 Gone", "413 Large", "422 Bad", "304 Same"])
async def test_other_answers_are_final_and_their_reason_has_status_and_excerpt(
    ctx: Context, receiver: Receiver, status: str
) -> None:
    receiver.respond(status, b"" if status[:3] == "304" else b"go away")
    with pytest.raises(Discard, match=f"^127.0.0.1 answered {status}"):
        await send_webhook(ctx, webhook(receiver.url))


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirect_is_final_and_not_followed(ctx: Context, receiver: Receiver, status: str) -> None:
    receiver.respond(status, location=receiver.url + "/elsewhere")
    with pytest.raises(Discard, match="elsewhere; redirects are not followed"):
        await send_webhook(ctx, webhook(receiver.url))
    assert len(receiver.requests) == 1


async def test_retry_after_is_honoured(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("503 Busy", retry_after="120")
    with pytest.raises(Retry) as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert retry.value.after == timedelta(seconds=120)


async def test_closed_port_is_tried_again(ctx: Context) -> None:
    async with receiving() as gone:
        url = gone.url
    with pytest.raises(Retry, match=r"^no answer from 127\.0\.0\.1: ConnectError: "):
        await send_webhook(ctx, webhook(url))


async def test_name_that_does_not_resolve_is_tried_again(ctx: Context) -> None:
    with pytest.raises(Retry, match="does not resolve"):
        await send_webhook(ctx, webhook("http://an..empty.label/"))


async def test_receiver_that_hangs_up_is_tried_again(ctx: Context, receiver: Receiver) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    receiver.answer = hang_up
    with pytest.raises(Retry, match="RemoteProtocolError"):
        await send_webhook(ctx, webhook(receiver.url))


@pytest.mark.parametrize(
    "host",
    [
        *words("127.1 0177.0.0.1 0x7f.1 2130706433 169.254.169.254 localhost [::1] [::ffff:127.0.0.1] 127%2e0.0.1"),
        "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
        "127\N{IDEOGRAPHIC FULL STOP}1",
    ],
)
async def test_private_address_is_final(host: str) -> None:
    async with open_http([], 10) as http:
        with pytest.raises(Discard, match="POSTLUDE_WEBHOOK_ALLOW"):
            await send_webhook(fake_context(http=http), webhook(f"http://{host}/"))


async def test_endless_answer_is_stopped_at_the_cap(ctx: Context, receiver: Receiver) -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()
            sent += 0x1000

    receiver.answer = pour
    result = await send_webhook(ctx, webhook(receiver.url))
    async with asyncio.timeout(10):
        await receiver.hung_up.wait()
    assert result.response_excerpt == "x" * EXCERPT_BYTES
    assert result.response_truncated
    assert sent < 100 * RESPONSE_CAP_BYTES


async def test_gzip_bomb_is_not_unpacked(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("200 OK", gzip.compress(b"x" * 20_000_000), content_encoding="gzip")
    result = await send_webhook(ctx, webhook(receiver.url))
    assert result.status == 200
    assert len(result.response_excerpt.encode()) <= EXCERPT_BYTES
    assert "xxxx" not in result.response_excerpt


async def test_answer_that_breaks_off_after_its_status_counts_by_its_status(ctx: Context, receiver: Receiver) -> None:
    async def break_off(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        writer.close()

    receiver.answer = break_off
    result = await send_webhook(ctx, webhook(receiver.url))
    assert (result.status, result.response_excerpt, result.response_truncated) == (200, "half", True)


async def test_excerpt_is_storable_text(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("200 OK", b"a\x00b\x1b[31m\xff\n\t" + "ü".encode() * EXCERPT_BYTES)
    result = await send_webhook(ctx, webhook(receiver.url))
    assert result.response_excerpt.startswith("a\ufffdb\ufffd[31m\ufffd\n\tü")
    assert len(result.response_excerpt.encode()) <= EXCERPT_BYTES
    assert "\ufffd" not in result.response_excerpt[10:]


async def test_header_values_that_a_receiver_echoes_are_masked(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("400 Bad", b"token s3cret-token-1 in 'Bearer s3cret-token-1' is wrong, version 1")
    headers = {"Authorization": "Bearer s3cret-token-1", "X-Version": "1"}
    with pytest.raises(Discard) as discard:
        await send_webhook(ctx, webhook(receiver.url, headers=headers))
    assert "s3cret" not in discard.value.reason
    assert discard.value.reason.endswith("is wrong, version 1")


async def test_attempt_that_is_cancelled_gives_its_connection_back(ctx: Context, receiver: Receiver) -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        await writer.drain()

    receiver.answer = never
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await send_webhook(ctx, webhook(receiver.url))
    async with asyncio.timeout(10):
        await receiver.hung_up.wait()


@pytest.mark.parametrize(
    "url",
    words("""ftp://example.com/ file:///etc/passwd unix:///var/run/docker.sock example.com //example.com http:// http://?x
    http://user@example.com/ http://user:pass@example.com/ http://:pass@example.com/ http://a:99999/
    http://exa<mple.com/ javascript:alert(1)"""),
)
def test_url_that_cannot_be_a_webhook_is_refused_at_the_door(url: str) -> None:
    with pytest.raises(ValidationError):
        webhook(url)


@pytest.mark.parametrize("event", ["", ".", "a.", ".a", "a..b", "a b", "a-b", "a\n", "ä", "a" * 256])
def test_event_is_dot_delimited_words(event: str) -> None:
    with pytest.raises(ValidationError):
        webhook(event=event)
    assert webhook(event="user_1.Signed_up.v2").event == "user_1.Signed_up.v2"


@pytest.mark.parametrize(
    "name",
    [
        *words("Host HOST content-type Content-Length content-encoding Transfer-Encoding Connection keep-alive TE"),
        *words("trailer trailers Upgrade webhook-id Webhook-Signature webhook-anything user-agent expect"),
        *words("accept-encoding proxy-authorization proxy-connection cache-control x-amz-date X-Goog-Api x-azure-ref"),
        "",
        "a b",
        "a:b",
        "a\r\nb",
        "a\n",
        "ä",
        "a\0",
        "a" * 201,
        "(x)",
    ],
)
def test_header_name_that_is_not_the_jobs_to_set_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        webhook(headers={name: "x"})


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\tb", "\x7f", "a\x85", " a", "a ", "a" * 4097]
)
def test_header_value_that_could_inject_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        webhook(headers={"X-Test": value})


def test_header_named_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="twice"):
        webhook(headers={"X-Test": "1", "x-test": "2"})


@pytest.mark.parametrize("value", ["", "a", "a b  c", "ü€", "a" * 4096, "!~"])
async def test_any_other_header_value_arrives(ctx: Context, receiver: Receiver, value: str) -> None:
    await send_webhook(ctx, webhook(receiver.url, headers={"X-Test": value}))
    assert receiver.requests[0].headers["x-test"] == value


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_not base64 at all, but long enough to be one",
        SECRET.removeprefix("whsec_"),
        SECRET + "\n",
        "x" + SECRET,
        "whsec_" + SECRET,
        "whsk_" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_secret_of_another_form_is_refused_at_the_door(secret: str) -> None:
    with pytest.raises(ValidationError):
        webhook(secret=secret)


@pytest.mark.parametrize("data", [float("nan"), [float("inf")], {"a": {"b": "\ud800"}}])
def test_data_that_json_cannot_carry_is_refused_at_the_door(data: Any) -> None:
    with pytest.raises(ValidationError):
        webhook(data=data)


@pytest.mark.parametrize("data", [None, 0, "text", [], {}, {"a": [1, 2.5, True, None]}])
async def test_data_may_be_any_json_value(ctx: Context, receiver: Receiver, data: Any) -> None:
    await send_webhook(ctx, stored(webhook(receiver.url, data=data)))
    assert json.loads(receiver.requests[0].body)["data"] == data


def test_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        webhook(header={"X-Test": "1"})


def test_readers_see_no_secret() -> None:
    args = webhook(secret=SECRET, headers={"Authorization": "Bearer abc"})
    shown, whole = send_webhook.dump_args(args)
    assert "Bearer" not in shown + repr(args)
    assert SECRET not in shown + repr(args)
    assert whole is not None
    assert send_webhook.load_args(whole) == args


def test_result_is_the_promised_shape() -> None:
    assert set(SendWebhookResult.model_fields) >= {"status", "duration_ms", "response_excerpt"}
