"""What is let in: the service's calls, once each, to functions that the app has offered."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from client.tests.fastapi import functions
from client.tests.fastapi.functions import ran
from client.tests.fastapi.service import Service, asking, connected, until
from fastapi import FastAPI

from postlude.calling.signature import offer_of
from postlude.fastapi import BackgroundTasks, Postlude

pytestmark = pytest.mark.postlude("send")
HERE = "client.tests.fastapi.functions"
SECRET = "whsec_" + "A" * 43 + "="


class Shop:
    """An app that is registered, and has sent one mail."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.app = FastAPI(title="My Shop!")
        self.postlude = Postlude(self.app, secret=SECRET)

        @self.app.post("/sign-up")
        def sign_up(tasks: BackgroundTasks) -> None:
            tasks.add_task(functions.send, "ann")

    def call(self, **changes: Any) -> dict[str, Any]:
        [job] = self.service.jobs
        return {**self.service.call_of(job), **changes}

    async def post(self, call: Any, **options: Any) -> tuple[int, str]:
        """Post a signed call, and return the status and what is told."""
        answer = await self.client.post("/_postlude", **self.service.signed("my-shop", call, **options))
        return answer.status_code, answer.json().get("detail", "") if answer.status_code != 200 else answer.text

    client: httpx.AsyncClient


@pytest.fixture
async def shop(service: Service) -> AsyncIterator[Shop]:
    ran.clear()
    shop = Shop(service)
    async with asking(shop.app) as shop.client:
        await shop.client.post("/sign-up")
        yield shop


def restarted(shop: Shop) -> Shop:
    """Return the same app, as another process has it: it has added nothing yet."""
    again = Shop(shop.service)
    again.client = httpx.AsyncClient(transport=httpx.ASGITransport(again.app), base_url="http://shop.test:8000")
    return again


async def test_call_runs_the_function_with_its_arguments(shop: Shop) -> None:
    status, text = await shop.post(shop.call())
    assert (status, json.loads(text)) == (200, {"outcome": "succeeded", "result": "sent to ann"})
    assert ran == [("send", "ann", "hello")]


async def test_app_that_was_restarted_runs_what_it_had_offered(shop: Shop) -> None:
    status, _ = await restarted(shop).post(shop.call())
    assert (status, ran) == (200, [("send", "ann", "hello")])


async def test_offered_function_runs_though_its_module_is_not_imported_yet(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.joinpath("postlude_lazy.py").write_text("def greet():\n    return 'hello'")
    monkeypatch.syspath_prepend(tmp_path)
    name = "postlude_lazy.greet"
    assert (await shop.post(shop.call(function=name, arguments={})))[0] == 404
    assert "postlude_lazy" not in sys.modules
    offer = offer_of(connected(shop.postlude).door._keys[0], name)
    status, text = await shop.post(shop.call(function=name, arguments={}, offer=offer, attempt=2))
    assert (status, json.loads(text)["result"]) == (200, "hello")


@pytest.mark.parametrize(
    "function",
    [
        f"{HERE}.never_offered",
        f"{HERE}.write",
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "builtins.exec",
        f"{HERE}.ran.append",
        f"{HERE}.send.__class__",
        f"{HERE}.__class__",
        f"{HERE}.asyncio.run",
        "client.tests.fastapi.test_door.Shop.post",
        "postlude.calling.names.find",
        "antigravity.geohash",
        "",
        ".",
        "..",
        "é.ü",
        "a" * 10_000,
    ],
)
@pytest.mark.parametrize("has_offer", [True, False], ids=["offer-of-another", "no-offer"])
async def test_function_that_was_never_offered_does_not_run(shop: Shop, function: str, has_offer: bool) -> None:
    call = shop.call(function=function, arguments={})
    if not has_offer:
        del call["offer"]
    for one in (shop, restarted(shop)):
        status, detail = await one.post(call)
        assert status == 404
        assert f"This app has never added {function}" in detail
    assert ran == []
    assert "antigravity" not in sys.modules


async def test_function_that_a_deploy_removed_is_told_as_such(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(functions, "send")
    status, detail = await shop.post(shop.call())
    assert (status, ran) == (404, [])
    assert "moved or removed" in detail


async def test_functions_of_listed_modules_run(shop: Shop) -> None:
    app = FastAPI(title="My Shop!")
    Postlude(app, secret=SECRET, modules=[HERE])
    async with asking(app) as shop.client:
        call = shop.call(function=f"{HERE}.never_offered", arguments={})
        del call["offer"]
        assert (await shop.post(call))[0] == 200
        assert ran == ["never_offered"]
        for imported in ("asyncio.sleep", "token_of.__call__", "BackgroundTasks"):
            assert (await shop.post({**call, "function": f"{HERE}.{imported}", "attempt": 2}))[0] == 404


async def test_job_by_hand_runs_a_function_that_the_app_has_added(shop: Shop) -> None:
    call = shop.call()
    del call["offer"]
    assert (await shop.post(call))[0] == 200
    assert (await restarted(shop).post({**call, "attempt": 2}))[0] == 404


async def test_same_attempt_runs_once(shop: Shop) -> None:
    assert (await shop.post(shop.call()))[0] == 200
    status, detail = await shop.post(shop.call())
    assert (status, len(ran)) == (409, 1)
    assert "Attempt 1 of job" in detail
    assert (await shop.post(shop.call(attempt=2)))[0] == 200


async def test_attempt_that_runs_is_not_run_again(shop: Shop) -> None:
    call = shop.call(
        function=f"{HERE}.wait_long",
        arguments={},
        offer=offer_of(connected(shop.postlude).door._keys[0], f"{HERE}.wait_long"),
        timeout=2,
    )
    first = asyncio.create_task(shop.post(call))
    await until(lambda: ran)
    assert (await shop.post(call))[0] == 409
    assert json.loads((await first)[1]) == {"outcome": "timed_out"}


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"webhook-signature": "v1,AAAA"}, "The signature is wrong: compare POSTLUDE_APP_SECRET"),
        ({"webhook-signature": ""}, "is not signed"),
        ({"webhook-id": "other_1"}, "The signature is wrong"),
    ],
)
async def test_forged_call_is_refused_and_logged(
    shop: Shop, headers: dict[str, str], detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    signed = shop.service.signed("my-shop", shop.call())
    answer = await shop.client.post("/_postlude", content=signed["content"], headers=signed["headers"] | headers)
    assert (answer.status_code, ran) == (401, [])
    assert detail in answer.json()["detail"]
    assert f"refused a call (401): {answer.json()['detail']}" in caplog.text


async def test_call_signed_with_another_secret_is_refused(shop: Shop) -> None:
    shop.service.apps["my-shop"]["secret"] = "whsec_" + "B" * 43 + "="
    assert (await shop.post(shop.call()))[0] == 401


async def test_signature_of_another_message_is_refused(shop: Shop) -> None:
    """Of a job that was enqueued, say, to learn how its body would be signed."""
    call = shop.call()
    signed = shop.service.signed("my-shop", call)
    other = shop.service.signed("my-shop", {**call, "attempt": 2})
    answer = await shop.client.post("/_postlude", content=other["content"], headers=signed["headers"])
    assert answer.status_code == 401
    body = json.dumps(call).encode()  # signed as job_1
    status, detail = await shop.post(body)
    assert (status, detail) == (401, "The header webhook-id is not that of this job and attempt.")


@pytest.mark.parametrize("seconds", [-400, 400])
async def test_call_of_another_time_is_refused(shop: Shop, seconds: int) -> None:
    status, detail = await shop.post(shop.call(), at=time.time() + seconds)
    assert (status, ran) == (401, [])
    assert "compare the clocks" in detail


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        ({}, "missing a required argument: 'to'"),
        ({"to": "ann", "cc": "bob"}, "unexpected argument 'cc'"),
        ({"to": ["ann"]}, "argument 'to': Input should be a valid string"),
        ({"to": {"$postlude": "model", "class": "os.system", "value": 1}}, "no class os.system is imported here"),
        ({"to": {"$postlude": "nothing"}}, "argument 'to'"),
    ],
)
async def test_arguments_that_do_not_fit_are_told(shop: Shop, arguments: Any, detail: str) -> None:
    status, told = await shop.post(shop.call(arguments=arguments))
    assert (status, ran) == (422, [])
    assert detail in told
    assert (await shop.post(shop.call()))[0] == 200, "an attempt that did not run may come again"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"function": 1}', b'{"job": "a", "attempt": 1}', b"[" * 100_000],
)
async def test_odd_bodies_are_told(shop: Shop, body: bytes) -> None:
    status, detail = await shop.post(body)
    assert status == 422
    assert "The body is no call" in detail


async def test_body_that_is_too_large_is_told_before_it_is_checked(shop: Shop) -> None:
    answer = await shop.client.post("/_postlude", content=b"x" * (2 * 1024 * 1024 + 1))
    assert answer.status_code == 413


async def test_other_methods_and_paths_are_none_of_it(shop: Shop) -> None:
    assert (await shop.client.get("/_postlude")).status_code == 405
    for path in ("/_postlude/", "/_postlude/x", "/x/_postlude", "//_postlude"):
        assert (await shop.client.post(path)).status_code == 404
    assert (await shop.client.get("/openapi.json")).json()["paths"].keys() == {"/sign-up"}


async def test_app_that_stops_says_when_to_come_again(shop: Shop) -> None:
    connected(shop.postlude).door.stop()
    answer = await shop.client.post("/_postlude", **shop.service.signed("my-shop", shop.call()))
    assert (answer.status_code, answer.headers["retry-after"], ran) == (503, "5", [])


async def test_door_of_an_app_behind_a_path(service: Service) -> None:
    app = FastAPI(title="My Shop!")
    postlude = Postlude(app, secret=SECRET)
    paths = ["/_postlude", "/shop/_postlude", "/shop/shop/_postlude"]
    for path, root_path in [("/_postlude", ""), *((path, "/shop") for path in paths)]:
        assert connected(postlude).door.is_for({"type": "http", "path": path, "root_path": root_path})
