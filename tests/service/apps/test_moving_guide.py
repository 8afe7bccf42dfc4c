"""Checks what docs/from-background-tasks.md says about an app moved by its diff, by applying the diff to its own code.

So is what the README says of its app.
"""

import importlib
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from postlude.fastapi import BackgroundTasks, CannotTravel, Postlude
from starlette.background import BackgroundTask

from jobs.app import call_app
from service.settings import Settings
from tests.support.receiver import Receiver, receiving
from tests.support.running import catalogue_of, eventually, running_api, running_worker
from tests.test_from_background_tasks import DOCUMENT, code_block, on_sqlite, serving

pytestmark = pytest.mark.postlude("send")

MOVED = "sign_up_moved"
LABEL = f"shop.{MOVED}.tell_crm"
ANN = {"email": "ann@example.com"}


def the_diff() -> str:
    [diff] = re.findall(r"```diff\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return str(diff)


def moved(source: str) -> str:
    """Apply the diff of the document."""
    lines = the_diff().splitlines()[3:]  # without its header
    old, new = ("\n".join(line[1:] for line in lines if line[:1] != other) for other in "+-")
    assert old in source
    return source.replace(old, new)


def test_diff_of_the_document_is_one_that_patch_takes() -> None:
    source = code_block("# sign_up.py")
    old, new = source.splitlines(keepends=True), moved(source).splitlines(keepends=True)
    assert the_diff() == "".join(unified_diff(old, new, "sign_up.py", "sign_up.py"))


@dataclass
class Shop:
    """The moved app of the document, its CRM, and the API."""

    http: httpx.AsyncClient
    crm: Receiver
    api: httpx.AsyncClient

    async def job(self, state: str) -> dict[str, Any]:
        return await job_in(self.api, state, LABEL)


async def job_in(api: httpx.AsyncClient, state: str, label: str) -> dict[str, Any]:
    """Wait until the only job of this label is in this state."""

    async def found() -> list[dict[str, Any]]:
        wanted = {"kind": label, "state": state, "expand": "attempts"}
        jobs: list[dict[str, Any]] = (await api.get("/v1/jobs", params=wanted)).json()["jobs"]
        return jobs

    [job] = await eventually(found)
    return job


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make the moved app importable; return its name."""
    (tmp_path / f"{MOVED}.py").write_text(moved(code_block("# sign_up.py")))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield MOVED
    sys.modules.pop(MOVED, None)


@contextmanager
def served(app: FastAPI) -> Iterator[httpx.AsyncClient]:
    with serving(app) as url:
        yield httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)


@pytest.fixture
async def api(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    async with running_api(settings) as opened:
        monkeypatch.setenv("POSTLUDE_URL", str(opened.base_url))
        yield opened


@asynccontextmanager
async def shop_at_work(
    settings: Settings, app: str, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    async with receiving() as crm, running_worker(settings, catalogue_of(call_app)):
        monkeypatch.setenv("CRM_URL", crm.url)
        with served(importlib.import_module(app).app) as http:
            yield Shop(http, crm, api)


@on_sqlite
async def test_app_that_was_moved_by_the_diff_calls_the_crm_in_a_job(
    settings: Settings, app: str, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop_at_work(settings, app, api, monkeypatch) as shop:
        assert (await shop.http.post("/users", json=ANN)).status_code == 201
        job = await shop.job("succeeded")
        assert (job["args"]["arguments"], job["attempts"][0]["outcome"]) == (ANN, "succeeded")
        assert [request.body for request in shop.crm.requests] == [b'{"email":"ann@example.com"}']


@on_sqlite
async def test_app_that_was_moved_by_the_diff_tries_again_and_shows_why(
    settings: Settings, app: str, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop_at_work(settings, app, api, monkeypatch) as shop:
        shop.crm.respond("500 Internal Server Error")
        assert (await shop.http.post("/users", json=ANN)).status_code == 201
        job = await shop.job("retrying")
        assert job["error"]["type"] == "HTTPStatusError"
        assert f"{MOVED}.py" in job["attempts"][0]["error"]["traceback"]
        shop.crm.respond("204 No Content")
        assert (await shop.api.post(f"/v1/jobs/{job['id']}/run-now")).is_success
        job = await shop.job("succeeded")
        assert [one["outcome"] for one in job["attempts"]] == ["failed", "succeeded"]


@pytest.mark.postlude("local")
async def test_app_that_was_moved_by_the_diff_runs_its_tasks_itself_without_a_service(
    app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as crm:
        monkeypatch.setenv("CRM_URL", crm.url)
        with served(importlib.import_module(app).app) as http:
            assert (await http.post("/users", json=ANN)).status_code == 201

            async def called() -> bool:
                return bool(crm.requests)

            await eventually(called)


async def test_app_that_was_moved_by_the_diff_asks_callers_to_send_again_when_no_job_was_accepted(
    app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTLUDE_URL", "http://127.0.0.1:9")
    with served(importlib.import_module(app).app) as http:
        answer = await http.post("/users", json=ANN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


class Session:
    """What an order is written with."""

    opened: list["Session"] = []  # noqa: RUF012 - a list for all of them

    def __init__(self) -> None:
        self.ended = ""
        self.opened.append(self)


async def session() -> AsyncIterator[Session]:
    opened = Session()
    try:
        yield opened
    except BaseException:
        opened.ended = "rolled back"
        raise
    opened.ended = "committed"


OPENED = Depends(session)


async def ship(order: int, session: Session = OPENED) -> None:
    if session is Session.opened[0]:
        raise LookupError(f"no address for order {order}")


async def labels(api: httpx.AsyncClient) -> list[str]:
    return [job["label"].rpartition(".")[2] for job in (await api.get("/v1/jobs")).json()["jobs"]]


@on_sqlite
async def test_moved_app_refuses_a_session_and_gives_each_task_its_own(
    settings: Settings, api: httpx.AsyncClient, app: str
) -> None:
    fresh = FastAPI(title=app)
    Postlude(fresh)
    Session.opened.clear()
    refused = list[str]()

    @fresh.post("/orders/{number}")
    async def order(number: int, tasks: BackgroundTasks) -> None:
        try:
            tasks.add_task(ship, number, Session.__new__(Session))
        except CannotTravel as error:
            refused.append(str(error))
        tasks.add_task(ship, number)

    async with running_worker(settings, catalogue_of(call_app)):
        with served(fresh) as http:
            assert (await http.post("/orders/7")).status_code == 200
            label = f"sign-up-moved.{__name__}.ship"
            job = await job_in(api, "retrying", label)
            await api.post(f"/v1/jobs/{job['id']}/run-now")
            await job_in(api, "succeeded", label)
    assert "argument 'session'" in refused[0]
    assert [one.ended for one in Session.opened] == ["rolled back", "committed"]


async def nothing() -> None: ...


@on_sqlite
async def test_moved_app_drops_the_tasks_of_a_request_that_raises_and_keeps_those_beside_a_background(
    api: httpx.AsyncClient, app: str
) -> None:
    fresh, ran = FastAPI(title=app), list[str]()
    Postlude(fresh)

    @fresh.post("/raises")
    async def raises(tasks: BackgroundTasks) -> None:
        tasks.add_task(nothing)
        raise HTTPException(409)

    @fresh.post("/own")
    async def own(tasks: BackgroundTasks) -> JSONResponse:
        tasks.add_task(nothing)
        return JSONResponse(None, background=BackgroundTask(ran.append, "its own"))

    with served(fresh) as http:
        assert (await http.post("/raises")).status_code == 409
        assert await labels(api) == []
        assert (await http.post("/own")).status_code == 200
    assert await labels(api) == ["nothing"]
    assert ran == ["its own"]


@on_sqlite
async def test_app_of_the_readme_runs_its_task_in_a_job(
    settings: Settings, api: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = DOCUMENT.parents[1] / "README.md"
    (tmp_path / "readme_shop.py").write_text(re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)[0])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with running_worker(settings, catalogue_of(call_app)):
        with served(importlib.import_module("readme_shop").app) as http:
            assert (await http.post("/users/ann@example.com")).status_code == 200
            job = await job_in(api, "succeeded", "shop.readme_shop.send_welcome")
    assert job["result"] == "sent to ann@example.com"
