"""Apps over HTTP."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from jobs.webhook.signature import webhook_headers
from service.settings import Settings
from tests.service.api.driving import assert_problem, on_sqlite
from tests.support.running import running_api

SECRET = "whsec_" + base64.b64encode(b"the first secret of the shop").decode()
OTHER = "whsec_" + base64.b64encode(b"the second secret of the shop").decode()
URL = "http://shop.internal:8001/"


async def put(api: httpx.AsyncClient, name: str = "shop", **fields: Any) -> httpx.Response:
    return await api.put(f"/v1/apps/{name}", json={"url": URL, "secret": SECRET} | fields)


def signed(secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    headers = webhook_headers("msg_1", int(time.time() if at is None else at), body, secret)
    return headers | {"content-type": "application/json"}


async def test_an_app_is_registered_changed_listed_and_forgotten(api: httpx.AsyncClient) -> None:
    created = await put(api)
    assert (created.status_code, created.json()["name"], created.json()["url"]) == (201, "shop", URL)
    again = await put(api)
    assert (again.status_code, again.json()) == (200, created.json())
    moved = await put(api, url="https://shop.example.com/api")
    assert (moved.status_code, moved.json()["url"]) == (200, "https://shop.example.com/api")
    assert moved.json()["updated_at"] >= created.json()["updated_at"]
    assert moved.json()["created_at"] == created.json()["created_at"]
    assert (await api.get("/v1/apps/shop")).json() == moved.json()
    assert (await api.get("/v1/apps")).json() == {"apps": [moved.json()], "next_cursor": None}
    assert (await api.delete("/v1/apps/shop")).status_code == 204
    for refused in (await api.delete("/v1/apps/shop"), await api.get("/v1/apps/shop")):
        assert assert_problem(refused, 404)["type"] == "urn:postlude:problem:app-not-found"


async def test_no_answer_and_no_log_line_shows_the_secret(
    api: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [await put(api), await put(api, secret=OTHER), await put(api, url="ftp://a"), await put(api, secret="x")]
    answers += [await api.get("/v1/apps"), await api.get("/v1/apps/shop")]
    told = "".join(answer.text for answer in answers) + "".join(capfd.readouterr())
    for secret in (SECRET, OTHER):
        assert secret.removeprefix("whsec_").rstrip("=") not in told


async def test_a_secret_is_changed_by_who_signs_with_the_old_one_and_by_nobody_else(api: httpx.AsyncClient) -> None:
    await put(api)
    refused = assert_problem(await put(api, secret=OTHER), 409)
    assert refused["type"] == "urn:postlude:problem:app-secret-differs"
    assert "DELETE /v1/apps/shop" in refused["detail"]

    body = json.dumps({"url": URL, "secret": OTHER}).encode()

    async def send(headers: dict[str, str], content: bytes = body) -> int:
        return (await api.put("/v1/apps/shop", content=content, headers=headers)).status_code

    assert await send(signed(OTHER, body)) == 409
    assert await send(signed(SECRET, body, at=time.time() - 900)) == 409
    assert await send(signed(SECRET, b"{}")) == 409
    assert await send(signed(SECRET, body) | {"webhook-timestamp": "now"}) == 409
    wrong_and_right = signed(SECRET, body)
    wrong_and_right["webhook-signature"] = f"v1,AAAA {wrong_and_right['webhook-signature']}"
    assert await send(wrong_and_right) == 200
    assert (await put(api)).status_code == 409
    assert (await put(api, secret=OTHER)).status_code == 200


@on_sqlite
@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://shop"},
        {"url": "http://ann:secret@shop/"},
        {"url": "http://shop/?a=1"},
        {"url": "http://shop/#a"},
        {"url": "http://shop/" + "a" * 2_083},
        {"url": None},
        {"secret": "whsec_c2hvcnQ="},
        {"secret": "plain"},
        {"more": 1},
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(api: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    refused = assert_problem(await put(api, **fields), 422)
    assert refused["errors"][0]["loc"][0] == next(iter(fields))


@on_sqlite
async def test_a_name_that_no_app_can_have_is_refused(api: httpx.AsyncClient) -> None:
    for name in ("Shop", "shop.eu", "-a", "s" * 64, "shop%0A"):
        assert_problem(await put(api, name), 422)


@on_sqlite
async def test_rights_are_checked_before_bodies(settings: Settings) -> None:
    locked = settings.model_copy(update={"api_keys": (SecretStr("key"),)})
    async with running_api(locked) as api:
        for method in ("PUT", "GET", "DELETE"):
            assert_problem(await api.request(method, "/v1/apps/Not-a-name", content=b"{"), 401)
        assert_problem(await api.get("/v1/apps"), 401)
        answer = await api.put(
            "/v1/apps/shop", json={"url": URL, "secret": SECRET}, headers={"authorization": "Bearer key"}
        )
        assert answer.status_code == 201


@on_sqlite
async def test_apps_are_listed_page_by_page_by_name(api: httpx.AsyncClient) -> None:
    for name in "bcad":
        await put(api, name)
    first = (await api.get("/v1/apps", params={"limit": 3})).json()
    rest = (await api.get("/v1/apps", params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [[app["name"] for app in page["apps"]] for page in (first, rest)] == [["a", "b", "c"], ["d"]]
    assert rest["next_cursor"] is None
