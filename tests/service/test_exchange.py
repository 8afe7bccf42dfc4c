"""What an attempt sent and got is kept where it fails, without secrets; and its next attempt has one of its own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jobs import Context, Kind, RetryPolicy, job
from jobs.webhook.kind import send_webhook
from service.settings import Settings
from tests.service.api.driving import SECRET, on_sqlite
from tests.service.worker.desk import Desk, open_desk
from tests.support.receiver import receiving
from tests.support.running import catalogue_of, running_worker

pytestmark = on_sqlite


@job("ask_several", max_attempts=1)
async def ask_several(ctx: Context, good: str, bad: str) -> None:
    await ctx.http.get(bad)
    await ctx.http.get(good)
    raise ValueError("no use")


@job("ask_then_fail", max_attempts=1, retry=RetryPolicy())
def ask_then_fail(ctx: Context, url: str) -> None:
    ctx.run(ctx.http.get(url))  # type: ignore[attr-defined]
    raise ValueError("no use")


@asynccontextmanager
async def working(settings: Settings, *kinds: Kind[Any, Any]) -> AsyncIterator[Desk]:
    async with open_desk(settings, *kinds) as desk, running_worker(settings, catalogue_of(*kinds)):
        yield desk


async def exchanges(desk: Desk, job_id: str) -> list[Any]:
    return [one["exchange"] and json.loads(one["exchange"]) for one in await desk.attempts(job_id)]


async def test_webhooks_exchange_is_kept_with_an_attempt_that_fails_without_secrets(settings: Settings) -> None:
    async with receiving() as receiver, working(settings, send_webhook) as desk:
        body = f'{{"error": "no", "you sent": "{SECRET}", "rest": "{"x" * 5_000}"}}'.encode()
        receiver.respond("410 Gone for\tever", body, content_type="application/json")
        args = {"url": f"{receiver.url}?id=1&token={SECRET}", "event": "e", "data": None, "secret": SECRET}
        failed = await desk.enqueue(send_webhook, args)
        assert (await desk.ended(failed))["state"] == "failed"
        receiver.respond("200 OK")
        taken = await desk.enqueue(send_webhook, args)
        assert (await desk.ended(taken))["state"] == "succeeded"
        [exchange] = await exchanges(desk, failed)
        assert await exchanges(desk, taken) == [None], "what went well needs no proof"
    assert exchange["request"] == {
        "method": "POST",
        "url": f"{receiver.url}?id=...&token=**********",
        "address": "127.0.0.1",
        "port": receiver.port,
        "signed": True,
    }
    answer = exchange["answer"]
    assert (answer["status"], answer["reason"], answer["content_type"]) == (410, "Gone for ever", "application/json")
    assert (answer["bytes"], answer["is_cut"], len(answer["body"])) == (len(body), True, 2048)
    assert answer["body"].startswith('{"error": "no", "you sent": "**********", "rest": "xxx')
    assert 0 <= answer["took_ms"] < 30_000
    assert SECRET not in json.dumps(exchange)


async def test_without_an_answer_the_request_alone_is_kept(settings: Settings) -> None:
    async def hang_up(writer: Any) -> None:
        writer.close()

    async with receiving() as receiver, working(settings, send_webhook) as desk:
        receiver.answer = hang_up
        silent = await desk.enqueue(send_webhook, {"url": receiver.url, "event": "e", "data": None}, max_attempts=1)
        nobody = await desk.enqueue(
            send_webhook, {"url": "http://127.0.0.1:9/", "event": "e", "data": None}, max_attempts=1
        )
        for one in (silent, nobody):
            assert (await desk.ended(one))["state"] == "failed"
        [said], [unheard] = await exchanges(desk, silent), await exchanges(desk, nobody)
    assert (said["answer"], said["request"]["address"]) == (None, "127.0.0.1")
    assert (unheard["answer"], unheard["request"]["address"]) == (None, None)


async def test_of_several_requests_the_one_that_went_wrong_is_kept_from_a_thread_too(settings: Settings) -> None:
    async with (
        receiving() as good,
        receiving() as bad,
        working(settings, ask_several, ask_then_fail) as desk,
    ):
        bad.respond("404 Not Found", b"\x89PNG\xff\xfe\xff\xff")
        several = await desk.enqueue(ask_several, {"good": good.url, "bad": bad.url})
        in_thread = await desk.enqueue(ask_then_fail, {"url": good.url})
        for one in (several, in_thread):
            assert (await desk.ended(one))["state"] == "failed"
        [last], [only] = await exchanges(desk, several), await exchanges(desk, in_thread)
    assert (last["request"]["port"], last["answer"]["status"]) == (bad.port, 404)
    assert last["answer"]["body"] is None, "it is no text"
    assert (only["answer"]["status"], only["answer"]["body"]) == (200, "ok")
