"""`send_web_push`, over sockets, against a push service that checks what it gets and a browser that decrypts it."""

from dataclasses import replace
from typing import Any

import pytest

from jobs import Context
from jobs.kit.masking import MASK
from jobs.push import SendWebPushArgs, failures, send_web_push
from jobs.push.accounts import PushAccounts
from jobs.push.args import MOST_DATA_BYTES
from jobs.webhook.failures import AddressRefused, ConnectionLost, HttpStatusError
from service.outbound import open_http
from service.push.capability import SetUp
from tests.support.fakes import fake_context
from tests.support.push_servers import Answer, PushService, base64_url


def push(service: PushService, **fields: Any) -> SendWebPushArgs:
    return SendWebPushArgs.model_validate({"subscription": service.subscription} | fields)


async def test_browsers_read_what_was_sent(ctx: Context, service: PushService) -> None:
    key: Any = ctx.capability(PushAccounts).vapid
    service.application_key = key.public_key
    largest = "x" * MOST_DATA_BYTES
    for data in ({"order": 7}, "hello, ü", largest):
        result = await send_web_push(ctx, push(service, data=data, ttl=60, urgency="high", topic="orders"))
        assert result.status == 201
    assert service.pushes == [b'{"order":7}', "hello, ü".encode(), largest.encode()]
    headers = service.requests[0].headers
    assert (headers["ttl"], headers["urgency"], headers["topic"]) == ("60", "high", "orders")


async def test_a_push_without_data_has_no_body(ctx: Context, service: PushService) -> None:
    await send_web_push(ctx, push(service))
    [request] = service.requests
    assert request.body == b""
    assert "content-encoding" not in request.headers
    assert request.headers["ttl"] == "2419200"


async def test_a_dead_subscription_ends_the_job_and_is_told(
    ctx: Context, service: PushService, enqueued: list[tuple[str, Any]]
) -> None:
    endpoint = service.subscription["endpoint"]
    for status in (404, 410):
        service.answers = [(status, f"gone: {endpoint} and /push/very-secret-subscription", {})]
        context = replace(ctx, steps=fake_context().steps)
        with pytest.raises(failures.DeadToken) as dead:
            await send_web_push(context, push(service, data="x", on_dead_token={"kind": "forget"}))
        assert str(dead.value) == f"{status}: 127.0.0.1 answered {status} X: gone: {MASK} and {MASK}"
    assert enqueued == [("forget", {"token": endpoint})] * 2


SAYS_NOTHING_OF_THE_SUBSCRIPTION: list[tuple[Answer | bytes, type[Exception], float | None]] = [
    ((429, "slow down", {"retry-after": "20"}), HttpStatusError, 20),
    ((503, "", {}), HttpStatusError, 10),
    ((400, '{"errno": 110}', {}), failures.PushRefused, None),
    ((401, "", {}), failures.PushRefused, None),
    ((403, "the VAPID credentials do not correspond", {}), failures.PushRefused, None),
    ((413, "", {}), failures.PushRefused, None),
    ((307, "", {"location": "http://127.0.0.1/"}), HttpStatusError, None),
    (b"", ConnectionLost, None),
]


async def test_other_answers_say_nothing_of_the_subscription(ctx: Context, service: PushService) -> None:
    for number, (answer, error, hold_s) in enumerate(SAYS_NOTHING_OF_THE_SUBSCRIPTION, 1):
        service.answers = [answer]
        with pytest.raises(error) as raised:
            await send_web_push(ctx, push(service, data="x", on_dead_token={"kind": "forget"}))
        hold = getattr(raised.value, "hold_lane", None)
        assert (hold and hold.total_seconds()) == hold_s
        assert len(service.requests) == number


async def test_a_subscription_made_up_to_harm_harms_its_own_job_alone(ctx: Context, service: PushService) -> None:
    off_curve = service.subscription["keys"] | {"p256dh": base64_url(b"\x04" + b"\x01" * 64)}
    with pytest.raises(failures.PushRefused, match="p256dh"):
        await send_web_push(ctx, push(service, data="x", subscription=service.subscription | {"keys": off_curve}))
    async with open_http([], 1) as http:
        with pytest.raises(AddressRefused):
            await send_web_push(replace(ctx, http=http), push(service, data="x"))
    assert service.requests == []


async def test_without_a_key_pushes_wait(ctx: Context, service: PushService) -> None:
    with pytest.raises(failures.NotSetUp, match="POSTLUDE_VAPID_PRIVATE_KEY"):
        await send_web_push(replace(ctx, capabilities={PushAccounts: SetUp(None, None)}), push(service))
