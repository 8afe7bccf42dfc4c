"""Tickets: events for browsers, which cannot send a key."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from pydantic import SecretStr

from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, post
from tests.support.running import running_api

KEY = {"Authorization": "Bearer key-two"}


def with_keys(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"api_keys": tuple(SecretStr(key) for key in keys)})


@pytest.fixture
async def closed(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(with_keys(settings, "key-one", "key-two")) as api:
        api.headers.update(KEY)
        yield api


async def opens(api: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None) -> bool:
    """Try an address as a browser would, without a key; returns whether a first event came."""
    async with (
        httpx.AsyncClient(base_url=api.base_url, trust_env=False) as browser,
        browser.stream("GET", url, headers=headers) as stream,
    ):
        if stream.status_code == 401:
            return False
        assert stream.status_code == 200
        async with asyncio.timeout(10):
            return (await anext(stream.aiter_lines())).startswith("event: state")


@on_sqlite
async def test_ticket_opens_the_events_of_its_job_again_and_again_and_nothing_else(closed: httpx.AsyncClient) -> None:
    job, other = [await post(closed, delay=3600) for _ in range(2)]
    answer = await closed.post(f"/v1/jobs/{job['id']}/events/tickets")
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    ticket = answer.json()
    assert "key-" not in answer.text
    left = datetime.fromisoformat(ticket["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert await opens(closed, ticket["url"])
    assert await opens(closed, ticket["url"], {"Last-Event-ID": "0.0.0"})
    assert not await opens(closed, f"/v1/jobs/{other['id']}/events?ticket={ticket['ticket']}")
    del closed.headers["Authorization"]
    query = {"ticket": ticket["ticket"]}
    assert_problem(await closed.get(f"/v1/jobs/{job['id']}", params=query), 401)
    assert_problem(await closed.get("/v1/jobs", params=query), 401)
    assert_problem(await closed.post(f"/v1/jobs/{job['id']}/events/tickets", params=query), 401)


@on_sqlite
async def test_ticket_that_was_tampered_with_is_refused(closed: httpx.AsyncClient) -> None:
    job = await post(closed, delay=3600)
    ticket = (await closed.post(f"/v1/jobs/{job['id']}/events/tickets")).json()["ticket"]
    expires, _, signature = ticket.partition(".")
    for wrong in (
        "",
        ".",
        "x",
        expires,
        f"{int(expires) + 1}.{signature}",
        f"{expires}.{signature[:-1]}",
        "9" * 30 + ".é",
    ):
        response = await closed.get(f"/v1/jobs/{job['id']}/events", params={"ticket": wrong})
        assert_problem(response, 401)


@on_sqlite
async def test_ticket_ends_with_its_hour(closed: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await post(closed, delay=3600)
    url = (await closed.post(f"/v1/jobs/{job['id']}/events/tickets")).json()["url"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert not await opens(closed, url)


@on_sqlite
async def test_ticket_is_valid_at_every_process_with_the_key_and_void_without_it(
    closed: httpx.AsyncClient, settings: Settings
) -> None:
    job = await post(closed, delay=3600)
    url = (await closed.post(f"/v1/jobs/{job['id']}/events/tickets")).json()["url"]
    async with running_api(with_keys(settings, "key-two", "key-three")) as other:
        assert await opens(other, url)
    async with running_api(with_keys(settings, "key-one")) as later:
        assert not await opens(later, url)


@on_sqlite
async def test_ticket_needs_a_key_and_a_job(closed: httpx.AsyncClient) -> None:
    assert_problem(await closed.post("/v1/jobs/nope/events/tickets"), 404)
    assert_problem(await closed.post("/v1/jobs/nope/events/tickets", headers={"Authorization": "Bearer x"}), 401)


@on_sqlite
async def test_without_keys_a_ticket_does_no_harm(api: httpx.AsyncClient) -> None:
    job = await post(api, delay=3600)
    ticket = (await api.post(f"/v1/jobs/{job['id']}/events/tickets")).json()
    assert await opens(api, ticket["url"])


@on_sqlite
async def test_ticket_is_in_no_log(closed: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]) -> None:
    job = await post(closed, delay=3600)
    ticket = (await closed.post(f"/v1/jobs/{job['id']}/events/tickets")).json()
    assert await opens(closed, ticket["url"])
    out, err = capfd.readouterr()
    assert ticket["ticket"] not in out + err
