"""An access token is fetched once for all who need it, and kept until shortly before its end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from types import SimpleNamespace

import httpx
import pytest

from jobs.push.failures import NoAccessToken
from service.outbound import open_http
from service.push import access_token
from service.push.fcm_project import FcmProject
from service.push.service_account import ServiceAccount
from tests.support.push_servers import Google, serving

GRANT_REFUSED = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    async with serving(google := Google()):
        yield google


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http([ip_network("127.0.0.0/8")], 100) as http:
        yield http


@pytest.fixture
def project(google: Google) -> FcmProject:
    account = ServiceAccount.model_validate(google.credentials)
    return FcmProject(account, base_url=google.origin)


async def test_a_token_is_kept_until_shortly_before_its_end_and_then_fetched_once_for_all(
    project: FcmProject, google: Google, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr("service.push.access_token.time", SimpleNamespace(monotonic=lambda: now_s))

    async def all_get() -> set[str]:
        return set(await asyncio.gather(*(project.access_token(http) for _ in range(50))))

    [first] = await all_get()
    now_s += 3300 - 1
    assert await all_get() == {first}
    now_s += 2
    [second] = await all_get()
    assert second != first
    assert google.tokens == 2
    google.lives_s = 5
    project.forget(first)
    assert await all_get() == {second}
    project.forget(second)
    [third] = await all_get()
    now_s += 3
    assert await all_get() == {third}
    now_s += 2
    assert await all_get() != {third}
    assert google.tokens == 4
    now_s += 5
    google.lives_s = 10**400  # more than a float can tell: it counts as a day
    [fifth] = await all_get()
    now_s += 86_400
    assert await all_get() != {fifth}


async def test_who_goes_away_takes_the_token_from_nobody(
    project: FcmProject, google: Google, http: httpx.AsyncClient
) -> None:
    first = asyncio.create_task(project.access_token(http))
    await asyncio.sleep(0)
    others = [asyncio.create_task(project.access_token(http)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert len(set(await asyncio.gather(*others))) == 1
    assert google.tokens == 1


async def test_a_token_that_is_not_given_is_asked_for_again_by_the_next_and_holds_the_lane(
    project: FcmProject, google: Google, http: httpx.AsyncClient
) -> None:
    refusals = [
        ((400, GRANT_REFUSED, {}), r"400 X: .*Invalid JWT Signature", 10),
        ((503, "", {"retry-after": "40"}), "503", 40),
        ((503, "", {"retry-after": "999999"}), "503", 3600),
        ((429, "", {}), "429", 60),
        ((200, "<html>", {}), "not with a token", 10),
        ((200, {"access_token": "line\nbreak"}, {}), "not with a token", 10),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"access_token": "half', "not with a token", 10),
        (b"", "no answer from 127.0.0.1", 10),
    ]
    for answer, told, hold_s in refusals:
        google.grants = [answer]  # type: ignore[list-item]
        results = await asyncio.gather(*(project.access_token(http) for _ in range(5)), return_exceptions=True)
        assert {type(error) for error in results} == {NoAccessToken}
        error = results[0]
        assert isinstance(error, NoAccessToken)
        with pytest.raises(NoAccessToken, match=told):
            raise error
        assert error.hold_lane is not None
        assert error.hold_lane.total_seconds() == hold_s
        assert "eyJ" not in str(error), "the assertion is a secret"
    assert google.tokens == len(refusals)
    google.grants = [(200, {"access_token": "without-a-lifetime"}, {})]
    assert await project.access_token(http) == "without-a-lifetime"


async def test_a_server_that_hangs_or_is_not_allowed_is_told(
    google: Google, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_token, "FETCH_TIMEOUT_S", 0.1)
    server = await asyncio.start_server(lambda _, writer: None, "127.0.0.1", 0)
    account = json.loads(json.dumps(google.credentials))
    for uri, told in (
        (f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token", "within"),
        ("http://10.1.2.3/token", "POSTLUDE_WEBHOOK_ALLOW"),
    ):
        project = FcmProject(ServiceAccount.model_validate(account | {"token_uri": uri}), base_url=google.origin)
        with pytest.raises(NoAccessToken, match=told):
            await project.access_token(http)
    server.close()


async def test_another_token_url_takes_the_place_of_the_files(google: Google, http: httpx.AsyncClient) -> None:
    account = ServiceAccount.model_validate(google.credentials | {"token_uri": "https://oauth2.googleapis.com/token"})
    project = FcmProject(account, base_url=google.origin, token_url=f"{google.origin}/token")
    assert (await project.access_token(http)).startswith("ya29.")
