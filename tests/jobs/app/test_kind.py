"""`call_app` against apps on real sockets, which behave well and badly."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from jobs import Context, Snooze
from jobs.app import CallAppArgs, call_app
from jobs.app.apps import App, Apps, NotReadable
from jobs.app.failures import (
    AppAddressRefused,
    AppError,
    AppRefused,
    AppUnknown,
    AppUnreachable,
    CallRepeated,
    FunctionNotOffered,
    NotPostlude,
)
from jobs.kit.outcomes import FailedElsewhere
from service.outbound import open_http
from service.worker.performing.failure import failure_of
from tests.support.fakes import fake_context
from tests.support.raw_receiver import Line, Script, always, raw_receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
ARGS = CallAppArgs(app="shop", function="shop.mail.send", arguments={"to": "ann@example.com"})


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def verdict(**said: Any) -> bytes:
    return HEAD + chunk(json.dumps(said).encode() + b"\n") + chunk(b"")


class OneApp:
    """The registered apps: one, or none."""

    def __init__(self, http: Any, app: App | None) -> None:
        self.http = http
        self.app = app

    async def find(self, name: str) -> App | None:
        return self.app if name == "shop" else None


@asynccontextmanager
async def calling(url: str | None, allow: str = "127.0.0.0/8", **fields: Any) -> AsyncIterator[Context]:
    async with open_http([ip_network(allow)], 10) as http:
        apps = OneApp(http, None if url is None else App(url, SECRET))
        yield fake_context(capabilities={Apps: apps}, **fields)


async def call(script: Script, **fields: Any) -> Any:
    async with raw_receiver(script) as receiver, calling(f"http://127.0.0.1:{receiver.port}", **fields) as ctx:
        return await call_app(ctx, ARGS)


async def test_the_result_of_the_function_is_the_jobs() -> None:
    assert await call(always(verdict(outcome="succeeded", result={"sent": [1, None, "ü"]}))) == {"sent": [1, None, "ü"]}
    assert await call(always(verdict(outcome="succeeded"))) is None


async def test_an_app_that_beats_slowly_is_waited_for() -> None:
    async def script(line: Line) -> None:
        await line.answer(
            HEAD, chunk(b"\n"), chunk(b"\n"), chunk(b'{"outcome": "succ'), chunk(b'eeded", "result": 7}\n')
        )
        await line.say(chunk(b""))

    assert await call(script) == 7


async def test_calls_one_after_the_other_share_a_connection() -> None:
    async with (
        raw_receiver(always(verdict(outcome="succeeded"))) as receiver,
        calling(f"http://127.0.0.1:{receiver.port}") as ctx,
    ):
        for _ in range(3):
            await call_app(ctx, ARGS)
        assert receiver.connections == 1
        assert len(receiver.requests) == 3


async def test_the_error_of_the_function_is_shown_as_its_own_without_the_secret() -> None:
    error = {"type": "SMTPException", "message": f"no route, {SECRET}", "traceback": f"Traceback ...\n{SECRET[6:]}\n"}
    with pytest.raises(FailedElsewhere) as raised:
        await call(always(verdict(outcome="failed", error=error)))
    failure = failure_of(raised.value)
    assert failure.type == "SMTPException"
    assert failure.message.startswith("no route")
    assert failure.traceback is not None
    assert failure.traceback.startswith("Traceback ...")
    assert SECRET[6:] not in f"{failure}"
    assert raised.value.answered is True


async def test_what_the_stop_of_an_app_interrupts_costs_nothing() -> None:
    with pytest.raises(Snooze) as raised:
        await call(always(verdict(outcome="interrupted")))
    assert raised.value.after == timedelta(seconds=1)


async def test_a_function_that_the_app_timed_out_ends_with_the_attempts_own_timeout() -> None:
    running = asyncio.create_task(call(always(verdict(outcome="timed_out")), timeout=timedelta(seconds=0.2)))
    done, _ = await asyncio.wait([running], timeout=0.5)
    assert not done  # the worker ends it, at its own deadline
    running.cancel()
    await asyncio.wait([running])


async def hang_up(line: Line) -> None:
    await line.answer(HEAD, chunk(b"\n"))


async def hang_up_at_once(line: Line) -> None:
    await line.request()


async def reset(line: Line) -> None:
    await line.answer(HEAD)
    line.reset()


def plain(status: str, body: bytes = b"", **headers: str) -> Script:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return always(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body)


NDJSON = "application/x-ndjson"


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (hang_up, AppUnreachable),
        (hang_up_at_once, AppUnreachable),
        (reset, AppUnreachable),
        (always(HEAD + chunk(b"\n\n") + chunk(b"")), AppUnreachable),
        (plain("200 OK", b"", content_type=NDJSON), AppUnreachable),
        (always(b"SSH-2.0-OpenSSH\r\n"), AppUnreachable),
        (plain("503 Busy", retry_after="3"), AppUnreachable),
        (plain("200 OK", b"<html>It works!</html>", content_type="text/html"), NotPostlude),
        (plain("200 OK", b'{"outcome": "succeeded"}', content_type="application/json"), NotPostlude),
        (plain("200 OK", b"\xff\xfe garbage\n", content_type=NDJSON), NotPostlude),
        (plain("200 OK", b"x" * 1_100_000, content_type=NDJSON), NotPostlude),
        (plain("204 No Content"), AppError),
        (plain("302 Found", location="http://127.0.0.1:1/"), AppError),
        (plain("401 No", b'{"detail": "no signature"}'), AppRefused),
        (plain("404 No", b'{"detail": "not offered"}'), FunctionNotOffered),
        (plain("409 No"), CallRepeated),
    ],
)
async def test_a_bad_answer_is_a_failure_that_says_what_it_was(script: Script, failure: type[Exception]) -> None:
    with pytest.raises(failure) as raised:
        await call(script)
    assert type(raised.value) is failure
    assert "shop" in str(raised.value)


async def test_an_app_that_falls_silent_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.app.call._TIMEOUT", httpx.Timeout(None, read=0.2).as_dict())

    async def silent(line: Line) -> None:
        await line.answer(HEAD, chunk(b"\n"))
        await line.hung_up()

    with pytest.raises(AppUnreachable, match="ReadTimeout"):
        await call(silent)


async def test_a_cancelled_call_closes_the_connection_at_once() -> None:
    hung_up = asyncio.Event()
    called = asyncio.Event()

    async def script(line: Line) -> None:
        await line.answer(HEAD, chunk(b"\n"))
        called.set()
        await line.hung_up()
        hung_up.set()

    async with raw_receiver(script) as receiver, calling(f"http://127.0.0.1:{receiver.port}") as ctx:
        running = asyncio.create_task(call_app(ctx, ARGS))
        await called.wait()
        running.cancel()
        await asyncio.wait([running])
        async with asyncio.timeout(5):
            await hung_up.wait()


async def test_an_address_that_is_not_allowed_is_shown_with_the_setting_that_allows_it() -> None:
    async with calling("http://127.0.0.1:9", allow="10.0.0.0/8") as ctx:
        with pytest.raises(AppAddressRefused, match="POSTLUDE_APP_ALLOW"):
            await call_app(ctx, ARGS)


async def test_an_app_that_nobody_registered_is_tried_again() -> None:
    async with calling(None) as ctx:
        with pytest.raises(AppUnknown, match="PUT /v1/apps/shop"):
            await call_app(ctx, ARGS)


async def test_a_ledger_that_cannot_say_where_the_app_is_costs_nothing() -> None:
    class Unreadable(OneApp):
        async def find(self, name: str) -> App | None:
            raise NotReadable("the ledger is away")

    with pytest.raises(Snooze):
        await call_app(fake_context(capabilities={Apps: Unreadable(None, None)}), ARGS)


async def test_what_is_sent_can_be_verified_by_the_app() -> None:
    async with (
        raw_receiver(always(verdict(outcome="succeeded"))) as receiver,
        calling(f"http://127.0.0.1:{receiver.port}/api", timeout=timedelta(seconds=20), attempt=3) as ctx,
    ):
        await call_app(ctx, ARGS)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    request_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert request_line == "POST /api/_postlude HTTP/1.1"
    said = Webhook(SECRET).verify(body, headers)
    assert (said["job"], said["attempt"]) == (ctx.job_id, 3)
    assert headers["webhook-id"] == f"{ctx.job_id}_3"
    assert 19 < said["timeout"] <= 20


async def test_an_app_whose_certificate_nobody_trusts_is_told_nothing() -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(1024))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server, calling(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as ctx:
        with pytest.raises(AppUnreachable, match="TlsFailed"):
            await call_app(ctx, ARGS)
    assert not heard
