import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from jobs import Context, Discard, Retry
from jobs.kit.masking import MASK
from jobs.webhook.answer import MASKED_BYTES
from jobs.webhook.failures import (
    AddressRefused,
    ConnectFailed,
    ConnectionLost,
    DnsFailed,
    HttpStatusError,
    NotHttp,
    ReceiverGone,
    StatusGivenUpOn,
    TlsFailed,
)
from jobs.webhook.kind import EXCERPT_BYTES, RESPONSE_CAP_BYTES, SendWebhookArgs, SendWebhookResult, send_webhook
from service.outbound import open_http
from service.worker.performing.failure import failure_of
from tests.support.fakes import fake_context
from tests.support.raw_receiver import Line, always, raw_receiver
from tests.support.receiver import Receiver, receiving

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
    """Return the args as an attempt reads them from the ledger."""
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


TRIED_AGAIN = """500 Oops,502 Bad,503 Busy,599 Odd,408 Timeout,429 Slow down,400 Bad,401 No,404 Missing,413 Large,
422 Bad,300 Many,304 Same,301 Moved,302 Found,303 See Other,307 Temporary,308 Permanent"""


@pytest.mark.parametrize("status", [status.strip() for status in TRIED_AGAIN.split(",")])
async def test_every_answer_but_2xx_is_tried_again_and_its_message_has_status_and_excerpt(
    ctx: Context, receiver: Receiver, status: str
) -> None:
    told = b"" if status.startswith("304") else b"try later"
    receiver.respond(status, told)
    with pytest.raises(HttpStatusError) as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert str(retry.value) == f"127.0.0.1 answered {status}" + (": try later" if told else "")
    assert retry.value.after is None
    assert isinstance(retry.value, Retry)


async def test_switching_protocols_is_tried_again(ctx: Context, receiver: Receiver) -> None:
    receiver.answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"
    with pytest.raises(HttpStatusError, match="answered 101"):
        await send_webhook(ctx, webhook(receiver.url))


async def test_gone_ends_the_job(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("410 Gone", b"go away", retry_after="5")
    with pytest.raises(ReceiverGone, match=r"^127\.0\.0\.1 answered 410 Gone: go away$") as gone:
        await send_webhook(ctx, webhook(receiver.url))
    assert isinstance(gone.value, Discard)


@pytest.mark.parametrize("status", ["404 Missing", "302 Found", "503 Busy"])
async def test_job_that_knows_better_gives_up_on_statuses_of_its_own(
    ctx: Context, receiver: Receiver, status: str
) -> None:
    receiver.respond(status)
    with pytest.raises(StatusGivenUpOn, match=f"answered {status}") as given_up:
        await send_webhook(ctx, stored(webhook(receiver.url, give_up_on=[302, 404, 503], secret=SECRET)))
    assert isinstance(given_up.value, Discard)
    with pytest.raises(HttpStatusError):
        await send_webhook(ctx, webhook(receiver.url, give_up_on=[422]))


@pytest.mark.parametrize("status", [200, 299, 100, 101, 600, 0, -404, "404", 404.5, True, None])
def test_only_statuses_that_can_be_failures_are_given_up_on(status: Any) -> None:
    with pytest.raises(ValidationError):
        webhook(give_up_on=[status])


async def test_redirect_is_not_followed_and_tells_where_it_leads(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("301 Moved", location=receiver.url + "/elsewhere")
    with pytest.raises(HttpStatusError, match="elsewhere; redirects are not followed"):
        await send_webhook(ctx, webhook(receiver.url))
    assert len(receiver.requests) == 1


def test_schedule_spans_days() -> None:
    waits = [send_webhook.retry.shortest_wait(failures) for failures in range(send_webhook.max_attempts - 1)]
    assert send_webhook.max_attempts == 10
    assert sum(waits, timedelta()) > timedelta(days=2.5)
    assert waits[0] < timedelta(seconds=6)


async def test_retry_after_makes_the_wait_longer(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("503 Busy", retry_after="120")
    with pytest.raises(Retry) as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert retry.value.after == timedelta(seconds=120)
    assert retry.value.or_later
    assert str(retry.value) == "127.0.0.1 answered 503 Busy (it asks for a wait of 120 s)"


@pytest.mark.parametrize(
    ("status", "asked", "held", "answered"),
    [
        ("429 Slow down", "120", timedelta(seconds=120), False),
        ("503 Busy", "86400", timedelta(hours=1), False),
        ("503 Busy", "", None, False),
        ("500 Broken", "120", None, False),
        ("404 Missing", "120", None, True),
    ],
)
async def test_receiver_that_asks_for_a_wait_is_left_alone_by_its_whole_lane(
    ctx: Context, receiver: Receiver, status: str, asked: str, held: timedelta | None, answered: bool
) -> None:
    receiver.respond(status, retry_after=asked)
    with pytest.raises(HttpStatusError) as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert (retry.value.hold_lane, retry.value.answered) == (held, answered)


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("9" * 400, timedelta(days=1)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
        *((odd, None) for odd in ("-5", "NaN", "inf", "1e9", "0", "Thu, 01 Jan 1970 00:00:00 GMT", "0x10", "")),
    ],
)
async def test_absurd_retry_after_is_clamped_or_ignored(
    ctx: Context, receiver: Receiver, value: str, after: timedelta | None
) -> None:
    receiver.respond("429 Slow down", retry_after=value)
    with pytest.raises(HttpStatusError) as retry:
        await send_webhook(ctx, webhook(receiver.url))
    assert retry.value.after == after


async def test_closed_port_is_tried_again(ctx: Context) -> None:
    async with receiving() as gone:
        url = gone.url
    with pytest.raises(ConnectFailed, match=r"^no answer from 127\.0\.0\.1: ConnectError: "):
        await send_webhook(ctx, webhook(url))


async def test_name_that_does_not_resolve_is_tried_again(ctx: Context) -> None:
    with pytest.raises(DnsFailed, match="does not resolve"):
        await send_webhook(ctx, webhook("http://an..empty.label/"))


async def test_receiver_that_hangs_up_is_tried_again(ctx: Context, receiver: Receiver) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    receiver.answer = hang_up
    with pytest.raises(ConnectionLost, match="RemoteProtocolError"):
        await send_webhook(ctx, webhook(receiver.url))


async def test_receiver_that_speaks_something_else_is_tried_again(ctx: Context, receiver: Receiver) -> None:
    receiver.answer = b"SSH-2.0-OpenSSH_9.6\r\n"
    with pytest.raises(NotHttp, match="it begins with 'SSH-2"):
        await send_webhook(ctx, webhook(receiver.url))


async def test_receiver_that_hangs_up_before_tls_is_agreed_on_is_named_as_such(ctx: Context) -> None:
    async def script(line: Line) -> None:
        await line.reader.read(65536)

    async with raw_receiver(script) as receiver:
        with pytest.raises(ConnectFailed, match="hung up before TLS was agreed on"):
            await send_webhook(ctx, webhook(receiver.url.replace("http:", "https:")))


async def test_receiver_without_tls_is_tried_again(ctx: Context, receiver: Receiver) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no TLS\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        with pytest.raises(TlsFailed):
            await send_webhook(ctx, webhook(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))


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
        with pytest.raises(AddressRefused, match="POSTLUDE_WEBHOOK_ALLOW"):
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


@pytest.mark.parametrize("framing", [b"content-length: 100", b"transfer-encoding: chunked", b"x: until closed"])
@pytest.mark.parametrize("timeout_s", [2, 60])
async def test_body_that_hangs_or_drips_changes_no_outcome_whatever_the_timeout(
    ctx: Context, framing: bytes, timeout_s: float
) -> None:
    async def send_to_one_that(ending: str) -> None:
        async def hang(line: Line) -> None:
            await line.answer(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
            if ending == "drips":
                await line.drip(b"1\r\nx\r\n")
            await line.say(ending.encode())
            await line.hung_up()

        async with raw_receiver(hang) as slow, asyncio.timeout(timeout_s):
            result = await send_webhook(replace(ctx, timeout=timedelta(seconds=timeout_s)), webhook(slow.url))
        assert (result.status, result.response_truncated) == (200, True)
        assert len(slow.requests) == 1

    # At the same time: each takes a second or two.
    await asyncio.gather(*(send_to_one_that(ending) for ending in ("", "half", "drips")))


async def test_attempt_learns_of_a_failure_even_while_its_body_hangs(ctx: Context) -> None:
    async with raw_receiver(always(b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nhalf")) as slow:
        with pytest.raises(HttpStatusError, match="answered 500 Oops: half"):
            await send_webhook(replace(ctx, timeout=timedelta(seconds=1)), webhook(slow.url))


TOKEN = 's3cr3t/token+1 ü"x"'
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


async def test_header_values_that_a_receiver_echoes_are_masked(ctx: Context, receiver: Receiver) -> None:
    receiver.respond("400 Bad", b"token s3cret-token-1 in 'Bearer s3cret-token-1' is wrong, version 1")
    headers = {"Authorization": "Bearer s3cret-token-1", "X-Version": "1"}
    with pytest.raises(HttpStatusError) as failed:
        await send_webhook(ctx, webhook(receiver.url, headers=headers))
    assert "s3cret" not in str(failed.value)
    assert str(failed.value).endswith("is wrong, version 1")


ECHOES = {
    "in the body": b"HTTP/1.1 400 Bad\r\ncontent-length: 99\r\n\r\n%s",
    "in the reason": b"HTTP/1.1 400 %s\r\ncontent-length: 0\r\n\r\n",
    "in Location": b"HTTP/1.1 302 Found\r\nlocation: /?token=%s\r\ncontent-length: 0\r\n\r\n",
    "in Retry-After": b"HTTP/1.1 503 Busy\r\nretry-after: %s\r\ncontent-length: 0\r\n\r\n",
    "in place of an answer": b"%s\r\n\r\n",
    "in a status line that is none": b"HTTP/1.1 OK %s\r\n\r\n",
    "across the end of what is quoted": b"x" * 45 + b"%s\r\n\r\n",
    "across the end of what is quoted of much": b"x" * 1010 + b"%s\r\n\r\n",
    "in a chunk's size": b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n%s\r\n",
    "in 410": b"HTTP/1.1 410 %s\r\ncontent-length: 0\r\n\r\n%s",
    "in a long reason": b"HTTP/1.1 400 " + b"x" * 190 + b"%s\r\ncontent-length: 0\r\n\r\n",
    "across the excerpt's end": b"HTTP/1.1 400 Bad\r\n\r\n" + b"x" * (EXCERPT_BYTES - 5) + b"%s",
    "across the end of what is masked": b"HTTP/1.1 400 Bad\r\n\r\n" + b"x" * (MASKED_BYTES - 9) + b"%s",
}
WRITTEN = {
    "as it is": TOKEN,
    "as JSON": json.dumps(TOKEN),
    "as JSON in Unicode": json.dumps(TOKEN, ensure_ascii=False),
    "percent-encoded": quote(TOKEN, safe=""),
    "as a form": quote_plus(TOKEN).lower(),
    "as base64": base64.b64encode(TOKEN.encode()).decode(),
    "as base64 for URLs": base64.urlsafe_b64encode(f"token={TOKEN}!".encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
async def test_no_trace_of_an_attempt_shows_a_secret_that_the_receiver_echoes(
    ctx: Context, echo: bytes, written: str
) -> None:
    said = echo.replace(b"%s", written.encode())
    async with raw_receiver(always(said)) as receiver:
        with pytest.raises((Retry, Discard)) as failed:
            await send_webhook(
                replace(ctx, timeout=timedelta(seconds=1)), webhook(receiver.url, headers=AUTHORIZED, secret=SECRET)
            )
    failure = failure_of(failed.value)
    told = f"{failure.message} {failure.traceback}"
    secret = written.removeprefix("dG9rZW49")  # "token=" in base64
    pieces = {secret[start : start + 6] for start in range(len(secret) - 5)}
    assert not [piece for piece in pieces if piece in told]


async def test_webhooks_secret_is_masked_in_each_form(ctx: Context, receiver: Receiver) -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    receiver.respond("200 OK", f"{SECRET} {SECRET[6:]} {key.hex()} {key.hex().upper()}".encode())
    result = await send_webhook(ctx, webhook(receiver.url, secret=SECRET))
    assert result.response_excerpt == " ".join([MASK] * 4)


@pytest.mark.parametrize("name", ["Accept", "accept", "ACCEPT"])
async def test_accept_header_of_the_job_replaces_the_default(ctx: Context, receiver: Receiver, name: str) -> None:
    await send_webhook(ctx, webhook(receiver.url, headers={name: "application/json"}))
    await send_webhook(ctx, webhook(receiver.url))
    assert [request.headers["accept"] for request in receiver.requests] == ["application/json", "*/*"]
    assert [request.head.lower().count("\naccept:") for request in receiver.requests] == [1, 1]


SENT = words("Accept Accept-Language Authorization Cookie Date From If-Match Origin Range Referer Via X-Request-Id")


@pytest.mark.parametrize("name", SENT)
async def test_header_that_is_taken_at_the_door_is_sent_as_it_is(ctx: Context, receiver: Receiver, name: str) -> None:
    await send_webhook(ctx, webhook(receiver.url, headers={name: "a=b; c"}))
    assert receiver.requests[0].headers[name.lower()] == "a=b; c"
    assert receiver.requests[0].head.lower().count(f"\n{name.lower()}:") == 1


async def test_every_header_that_the_sender_sets_is_refused_from_the_job(ctx: Context, receiver: Receiver) -> None:
    await send_webhook(ctx, webhook(receiver.url, secret=SECRET))
    for name in receiver.requests[0].headers.keys() - {"accept"}:
        with pytest.raises(ValidationError):
            webhook(headers={name: "x"})


async def test_cancelled_attempt_releases_its_connection(ctx: Context, receiver: Receiver) -> None:
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
    with pytest.raises(ValidationError, match=r"in letters, digits and _, with single dots between|at most 255"):
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
