"""Behind a proxy that publishes the API under a path: whatever the answers name is found through it."""

import html
import re

import httpx
import pytest
from pydantic import ValidationError

from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite, stat
from tests.support.running import running_api


@on_sqlite
async def test_every_address_that_is_named_is_below_the_root_path(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"root_path": "/post/lude"})) as api:
        for prefix in ("", "/post/lude"):  # one that its proxy takes off, or leaves
            accepted = await api.post(f"{prefix}/v1/jobs", json=stat())
            assert accepted.status_code == 202
            assert accepted.headers["location"] == f"/post/lude/v1/jobs/{accepted.json()['id']}"
            assert (await api.get(accepted.headers["location"])).json()["id"] == accepted.json()["id"]
            ticket = (await api.post(f"{prefix}/v1/jobs/{accepted.json()['id']}/events/tickets")).json()
            assert ticket["url"].startswith(f"{accepted.headers['location']}/events?ticket=")
            document = (await api.get(f"{prefix}/openapi.json")).json()
            assert document["servers"] == [{"url": "/post/lude"}]
            assert "/v1/jobs" in document["paths"]
            assert "/post/lude/openapi.json" in (await api.get(f"{prefix}/docs")).text
            for page in ("/", "/inbox"):
                links = re.findall(r'href="([^"]*)"', html.unescape((await api.get(prefix + page)).text))
                assert links
                for link in links:
                    if link.startswith("#"):
                        continue
                    assert link.startswith("/post/lude/")
                    assert (await api.get(link)).status_code == 200, link


@on_sqlite
async def test_probes_may_use_any_name_whichever_path_they_come_by(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"root_path": "/postlude"})) as api:
        foreign = {"Host": "evil.example"}
        for prefix in ("", "/postlude"):
            assert (await api.get(f"{prefix}/healthz", headers=foreign)).status_code == 200
            assert (await api.get(f"{prefix}/v1/jobs", headers=foreign)).status_code == 421


@on_sqlite
async def test_idempotency_key_is_the_same_whichever_path_it_comes_by(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"root_path": "/postlude"})) as api:
        answers = [
            await api.post(f"{prefix}/v1/jobs", json=stat(), headers={"Idempotency-Key": "k"})
            for prefix in ("", "/postlude")
        ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"


@on_sqlite
async def test_without_a_root_path_locations_are_plain(api: httpx.AsyncClient) -> None:
    accepted = await api.post("/v1/jobs", json=stat())
    assert accepted.headers["location"] == f"/v1/jobs/{accepted.json()['id']}"


@pytest.mark.parametrize(("given", "kept"), [("/postlude/", "/postlude"), ("/a/b", "/a/b"), ("/", None)])
def test_root_path_is_kept_without_the_last_slash(given: str, kept: str | None) -> None:
    assert Settings(root_path=given).root_path == kept


@pytest.mark.parametrize("given", ["postlude", "https://example.com/x", "/a b", "/a?b", "/a//b"])
def test_invalid_root_path_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="must be a path that begins with /"):
        Settings(root_path=given)


@on_sqlite
async def test_a_slash_too_many_is_another_path_and_leads_nowhere(api: httpx.AsyncClient) -> None:
    """A redirect would name the `Host` that the client sent."""
    for path in ("/v1/kinds/", "/v1/jobs/", "/healthz/"):
        answer = await api.get(path)
        assert assert_problem(answer, 404)
        assert "location" not in answer.headers
