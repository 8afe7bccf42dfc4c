"""A mail that not everybody gets, as its operator sees it: over the API, with a worker and a mail server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from jobs import RetryPolicy
from jobs.email import send_email
from service.settings import Settings
from tests.service.api.driving import get, post
from tests.support.running import catalogue_of, running_api, running_worker
from tests.support.smtp_servers import ScriptedServer, answering, at_first

TO = ["ann@example.com", "bob@example.com", "cy@example.com"]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with answering() as server:
        yield server


@pytest.fixture
async def api(settings: Settings, server: ScriptedServer) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings.model_copy(update={"smtp_url": SecretStr(server.url)})
    async with running_api(settings) as api, running_worker(settings, catalogue_of(send_email)):
        yield api


@pytest.fixture
async def hasty_api(settings: Settings, server: ScriptedServer) -> AsyncIterator[httpx.AsyncClient]:
    """The same, with a worker that tries again at once."""
    settings = settings.model_copy(update={"smtp_url": SecretStr(server.url)})
    hasty = replace(send_email, retry=RetryPolicy(delays=(0.01,)))
    async with running_api(settings) as api, running_worker(settings, catalogue_of(hasty)):
        yield api


async def sent(api: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    args = {"to": TO, "subject": "Hi", "text": "hello"}
    job = await post(api, kind="send_email", args=args, **options)
    return await ended(api, job["id"])


async def ended(api: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = (await api.get(f"/v1/jobs/{job_id}", params={"wait": 20})).json()
    return job


def named(server: ScriptedServer) -> list[str]:
    return [line.removeprefix("RCPT TO:<").removesuffix(">") for line in server.lines if line.startswith("RCPT")]


async def test_partly_refused_mail_succeeds_and_lists_show_who_was_refused(
    api: httpx.AsyncClient, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": "550 5.1.1 no such user"}
    job = await sent(api)
    error = {"type": "RecipientsRefused", "message": "refused for good: bob@example.com: 550 5.1.1 no such user"}
    assert (job["state"], job["error"], job["failures"]) == ("succeeded", error, 0)
    assert job["result"]["refused"] == {"bob@example.com": "550 5.1.1 no such user"}
    assert [one["outcome"] for one in job["attempts"]] == ["succeeded"]
    [listed] = (await api.get("/v1/jobs", params={"state": "succeeded"})).json()["jobs"]
    assert listed["error"] == error


async def test_each_attempt_of_a_mail_asks_only_for_recipients_without_a_final_answer(
    hasty_api: httpx.AsyncClient, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": at_first("450 later", "450 later"), "RCPT TO:<cy@": "550 5.1.1 no such user"}
    job = await sent(hasty_api)
    assert (job["state"], job["attempt"], job["result"]["accepted"]) == ("succeeded", 3, TO[:2])
    assert named(server) == [*TO, "bob@example.com", "bob@example.com"]


async def test_mail_without_attempts_left_fails_naming_everybody_and_its_replay_reaches_the_rest_alone(
    api: httpx.AsyncClient, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": "451 4.7.1 greylisted", "RCPT TO:<cy@": "550 5.1.1 no such user"}
    job = await sent(api, max_attempts=1)
    assert (job["state"], job["error"]["type"]) == ("failed", "RecipientsDeferred")
    assert job["error"]["message"] == (
        "not delivered: bob@example.com: 451 4.7.1 greylisted. "
        "refused for good: cy@example.com: 550 5.1.1 no such user. delivered: ann@example.com"
    )
    server.answers, server.lines = {}, []
    await api.post(f"/v1/jobs/{job['id']}/replay")
    job = await ended(api, job["id"])
    assert (job["state"], job["error"], job["result"]["accepted"]) == ("succeeded", None, TO)
    assert named(server) == TO[1:]


async def test_mail_for_a_server_that_is_down_waits_a_minute_and_not_an_attempts_worth_more(
    api: httpx.AsyncClient, server: ScriptedServer
) -> None:
    server.answers = {"": "421 4.3.2 restarting"}
    job = await post(api, kind="send_email", args={"to": TO, "subject": "Hi", "text": "hello"})
    job = (await api.get(f"/v1/jobs/{job['id']}", params={"wait": 3})).json()
    assert (job["state"], job["error"]["type"], job["failures"]) == ("retrying", "MailServerUnreachable", 1)
    assert "421 4.3.2 restarting" in job["error"]["message"]
    assert (await get(api, job["id"]))["max_attempts"] == 60
