"""Pushes as their sender sees them: over the API, with a worker, Google and a push service."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from jobs import RetryPolicy
from jobs.push import send_push, send_web_push
from jobs.webhook import send_webhook
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import MASK, get, on_sqlite, post
from tests.support.push_servers import Google, PushService, base64_url, serving
from tests.support.receiver import Receiver, receiving
from tests.support.running import catalogue_of, eventually, running_api, running_worker

pytestmark = on_sqlite  # no SQL of its own
TOKEN = "a-registration-token-of-a-device"
UNREGISTERED = {
    "error": {
        "code": 404,
        "message": f"Requested entity was not found: {TOKEN}",
        "status": "NOT_FOUND",
        "details": [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}],
    }
}


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with serving(google := Google()):
        yield google


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with serving(service := PushService()):
        yield service


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def api(settings: Settings, google: Google) -> AsyncIterator[httpx.AsyncClient]:
    update = {
        "fcm_credentials": SecretStr(json.dumps(google.credentials)),
        "fcm_url": google.origin,
        "vapid_private_key": SecretStr(base64_url(b"\x07" * 32)),
        "vapid_subject": "mailto:ops@example.com",
    }
    settings = settings.model_copy(update=update)
    hasty = replace(send_push, retry=RetryPolicy(delays=(0.01,)))
    kinds = catalogue_of(hasty, send_web_push, send_webhook)
    async with running_api(settings) as api, running_worker(settings, kinds):
        yield api


async def ended(api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = (await api.get(f"/v1/jobs/{job_id}", params={"wait": 20})).json()
    return job


async def test_a_token_that_has_died_is_told_once_however_often_the_job_runs(
    api: httpx.AsyncClient, google: Google, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, lost = Ledger.keep_step, list[Any]()

    async def lose_the_first(ledger: Ledger, step: Any) -> bool:
        if not lost:
            lost.append(step)
            raise ConnectionError("the worker dies between the enqueue and the step that remembers it")
        return await kept(ledger, step)

    monkeypatch.setattr(Ledger, "keep_step", lose_the_first)
    google.answers = [(404, UNREGISTERED, {})] * 4
    args = {"token": TOKEN, "notification": {"title": "Hi"}, "on_dead_token": {"url": receiver.url}}
    job = await ended(api, (await post(api, kind="send_push", args=args))["id"])
    for _ in range(2):
        assert (job["state"], job["error"]["type"]) == ("failed", "DeadToken")
        assert job["error"]["message"].startswith("UNREGISTERED: 127.0.0.1 answered 404 X: UNREGISTERED: Requested")
        await api.post(f"/v1/jobs/{job['id']}/replay")
        job = await ended(api, job["id"])
    assert lost
    assert len(google.messages) == 4

    posts = (await api.get("/v1/jobs", params={"kind": "send_webhook"})).json()["jobs"]
    assert len(posts) == 1
    assert (await ended(api, posts[0]["id"]))["state"] == "succeeded"
    assert [json.loads(one.body)["data"]["token"] for one in receiver.requests] == [TOKEN]

    assert job["args"]["token"] == MASK
    assert TOKEN not in json.dumps(job)
    assert "secret-access-token" not in json.dumps(job)
    assert job["attempts"][-1]["exchange"]["answer"]["status"] == 404


async def test_a_quota_holds_the_lane_and_no_message_is_lost(api: httpx.AsyncClient, google: Google) -> None:
    google.answers = [(429, "", {"retry-after": "1"})]
    args = {"topic": "news", "data": {"n": "1"}}
    first = await post(api, kind="send_push", args=args)

    async def is_held() -> bool:
        lane = (await api.get("/v1/lanes/fcm:default")).json()
        return bool(lane["breaker"]["state"] != "closed")

    await eventually(is_held)
    others = [await post(api, kind="send_push", args=args) for _ in range(3)]
    assert (await get(api, others[0]["id"]))["state"] == "queued"
    assert len(google.messages) == 1
    assert {(await ended(api, one["id"]))["state"] for one in (first, *others)} == {"succeeded"}
    assert len(google.messages) == 5


async def test_a_push_reaches_its_browser(api: httpx.AsyncClient, service: PushService) -> None:
    args = {"subscription": service.subscription, "data": {"order": 7}}
    job = await ended(api, (await post(api, kind="send_web_push", args=args))["id"])
    assert (job["state"], job["result"]) == ("succeeded", {"status": 201})
    assert service.pushes == [b'{"order":7}']
    assert job["args"]["subscription"]["endpoint"] == MASK
    assert "very-secret" not in json.dumps(job)
