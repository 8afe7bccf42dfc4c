"""`send_push`, over sockets, against a Google that checks what it gets."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from jobs import Context, Discard, Retry
from jobs.push import SendPushArgs, failures, send_push
from jobs.push.accounts import PushAccounts
from jobs.webhook.failures import ConnectionLost, HttpStatusError
from service.outbound import open_http
from service.push.capability import SetUp
from tests.jobs.push.test_fcm_error import DEAD, NOT_VALID, body, fcm
from tests.support.fakes import fake_context
from tests.support.push_servers import Answer, Google

TOKEN = "a-registration-token"
UNREGISTERED = json.loads(body("NOT_FOUND", "Requested entity was not found.", fcm("UNREGISTERED")))


def push(**fields: Any) -> SendPushArgs:
    target = {} if "topic" in fields else {"token": TOKEN}
    return SendPushArgs.model_validate({"notification": {"title": "Hi"}} | target | fields)


def google_says(status: str, message: str = "", code: str | None = None) -> Any:
    return json.loads(body(status, message, *([fcm(code)] if code else [])))


async def test_a_message_arrives_and_a_hundred_at_once_share_one_access_token(ctx: Context, google: Google) -> None:
    sent = await asyncio.gather(*(send_push(ctx, push(data={"n": str(n)})) for n in range(100)))
    assert {result.name for result in sent} == {f"projects/shop-1/messages/{n + 1}" for n in range(100)}
    assert google.tokens == 1
    assert {one["message"]["data"]["n"] for one in google.messages} == {str(n) for n in range(100)}
    assert google.messages[0]["message"] == push(data=google.messages[0]["message"]["data"]).model_dump(
        include={"notification", "data"}, exclude_none=True
    ) | {"token": TOKEN}


async def test_a_refused_access_token_is_fetched_anew_once_for_all_and_the_message_goes_out(
    ctx: Context, google: Google
) -> None:
    await send_push(ctx, push())
    google.valid.clear()
    await asyncio.gather(*(send_push(ctx, push()) for _ in range(20)))
    assert google.tokens == 2
    assert len(google.messages) == 21


async def test_a_project_that_is_refused_with_every_token_is_asked_twice_in_an_attempt(
    ctx: Context, google: Google
) -> None:
    google.answers = [(401, google_says("UNAUTHENTICATED"), {})] * 2
    with pytest.raises(failures.SenderRefused, match="answered 401 X: UNAUTHENTICATED") as refused:
        await send_push(ctx, push())
    assert refused.value.answered is False
    assert len(google.messages) == 2


SAYS_NOTHING_OF_THE_TOKEN: list[tuple[Answer | bytes, type[Exception]]] = [
    ((401, google_says("UNAUTHENTICATED", "", "THIRD_PARTY_AUTH_ERROR"), {}), failures.PlatformRefused),
    ((403, google_says("PERMISSION_DENIED", "no role"), {}), failures.SenderRefused),
    ((404, google_says("NOT_FOUND", "no project"), {}), failures.SenderRefused),
    ((404, "<!DOCTYPE html> not found", {}), failures.SenderRefused),
    ((400, google_says("INVALID_ARGUMENT", "Message too big", "INVALID_ARGUMENT"), {}), failures.PushRefused),
    ((413, "", {}), failures.PushRefused),
    ((408, "", {}), HttpStatusError),
    ((302, "", {"location": "https://evil.example"}), HttpStatusError),
    ((200, "<html>a captive portal</html>", {}), failures.NotFcm),
    (b"HTTP/1.1 50", ConnectionLost),
    (b"", ConnectionLost),
]


async def test_what_says_nothing_of_the_token_never_calls_it_dead(ctx: Context, google: Google) -> None:
    for number, (answer, error) in enumerate(SAYS_NOTHING_OF_THE_TOKEN, 1):
        google.answers = [answer]
        with pytest.raises(error):
            await send_push(ctx, push(on_dead_token={"kind": "forget"}))
        assert len(google.messages) == number, answer
    assert google.tokens == 1


async def test_a_message_is_sent_although_the_rest_of_the_answer_is_lost(ctx: Context, google: Google) -> None:
    google.answers = [b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"name": "proj']
    assert (await send_push(ctx, push())).name is None


def in_two_minutes() -> dict[str, str]:
    return {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)}


HOLDS: list[tuple[int, dict[str, str] | None, float]] = [
    (429, {}, 60),
    (429, {"retry-after": "7"}, 7),
    (429, {"retry-after": "99999"}, 3600),
    (500, {}, 10),
    (502, {"retry-after": "soon"}, 10),
    (503, None, 120),
    (504, {"retry-after": "30"}, 30),
]


async def test_429_and_5xx_hold_all_messages_for_as_long_as_they_say(ctx: Context, google: Google) -> None:
    for status, headers, hold_s in HOLDS:
        google.answers = [
            (status, google_says("X", "quota", "QUOTA_EXCEEDED"), in_two_minutes() if headers is None else headers)
        ]
        with pytest.raises(HttpStatusError, match=f"answered {status} X: QUOTA_EXCEEDED: quota") as held:
            await send_push(ctx, push())
        hold, after = held.value.hold_lane, held.value.after
        assert hold is not None
        assert after is not None
        assert hold.total_seconds() == pytest.approx(hold_s, abs=60 if headers is None else 0)
        assert after >= hold
    assert send_push.lane_of(push()) == send_push.lane_of(push(topic="news"))


async def test_a_dead_token_ends_the_job_and_is_told(
    ctx: Context, google: Google, enqueued: list[tuple[str, Any]]
) -> None:
    for form, answer in [(form, answer) for form, answers in DEAD.items() for answer in answers]:
        google.answers = [(400, answer.decode(), {})]
        context = replace(ctx, steps=fake_context().steps)
        with pytest.raises(failures.DeadToken, match="^" + re.escape(form)) as dead:
            await send_push(context, push(on_dead_token={"kind": "forget", "args": {"user": 5}}))
        assert isinstance(dead.value, Discard)
        assert TOKEN not in str(dead.value)
        assert enqueued.pop() == ("forget", {"user": 5, "token": TOKEN})
        assert not enqueued


async def test_whoever_is_told_gets_the_token_where_it_can_be_used(
    ctx: Context, google: Google, enqueued: list[tuple[str, Any]]
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    call = {"app": "shop", "function": "shop.push.forget", "arguments": {"user": 5}}
    for on_dead_token in ({"url": "https://shop.example/dead", "secret": secret}, {"kind": "call_app", "args": call}):
        google.answers = [(400, google_says("INVALID_ARGUMENT", NOT_VALID, "INVALID_ARGUMENT"), {})]
        context = replace(ctx, steps=fake_context().steps)
        with pytest.raises(failures.DeadToken):
            await send_push(context, push(on_dead_token=on_dead_token))
    [(_, post), (_, called)] = enqueued
    assert (post["url"], post["secret"], post["event"]) == ("https://shop.example/dead", secret, "push.token_dead")
    assert post["data"]["token"] == TOKEN
    assert (post["data"]["form"], post["data"]["job"]) == ("INVALID_ARGUMENT", ctx.job_id)
    assert NOT_VALID in post["data"]["reason"]
    assert called == call | {"arguments": {"user": 5, "token": TOKEN}}


async def test_a_token_that_nobody_can_be_told_of_is_tried_again(ctx: Context, google: Google) -> None:
    async def refusing(kind: str, args: Any = None, **options: Any) -> str:
        raise LookupError("no kind 'forgot'")

    google.answers = [(404, UNREGISTERED, {})]
    with pytest.raises(failures.NobodyTold, match=r"UNREGISTERED.*LookupError: no kind 'forgot'") as error:
        await send_push(replace(ctx, enqueue=refusing), push(on_dead_token={"kind": "forgot"}))
    assert isinstance(error.value, Retry)


async def test_a_topic_is_never_dead(ctx: Context, google: Google) -> None:
    google.answers = [(404, UNREGISTERED, {})]
    with pytest.raises(failures.SenderRefused):
        await send_push(ctx, push(topic="news"))


async def test_without_an_account_or_a_way_to_it_messages_wait(ctx: Context, google: Google) -> None:
    with pytest.raises(failures.NotSetUp, match="POSTLUDE_FCM_CREDENTIALS"):
        await send_push(replace(ctx, capabilities={PushAccounts: SetUp(None, None)}), push())
    await send_push(ctx, push())
    async with open_http([], 1) as http:
        with pytest.raises(failures.NotReachable, match=r"POSTLUDE_FCM_URL: .*POSTLUDE_WEBHOOK_ALLOW") as refused:
            await send_push(replace(ctx, http=http), push())
    assert isinstance(refused.value, Retry)
