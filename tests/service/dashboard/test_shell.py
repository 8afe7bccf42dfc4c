"""What every page has and every action answers: with a script, without one, and under a prefix."""

import re
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from pydantic import SecretStr

from service.access.principal import Scope
from service.dashboard.page_route import page_router
from service.dashboard.shell import PageDep
from service.errors import StateForbids
from service.settings import Settings
from tests.support.apps import made_app
from tests.support.html import Html

pages, actions = page_router(), page_router(Scope.OPERATE)


@pages.get("/thing")
async def thing(page: PageDep) -> HTMLResponse:
    values: dict[str, Any] = {"status_code": 200, "detail": "x", "errors": [], "list_of": None, "sign_in_for": None}
    return await page.render("shell/error.html", title="Thing", section="jobs", **values)


@pages.get("/bug")
async def bug() -> HTMLResponse:
    raise ZeroDivisionError


@actions.post("/thing/do")
async def do(page: PageDep) -> Response:
    return page.toast("It is done.", detail="Really.", link=("Open", "/thing"))


@actions.post("/thing/refuse")
async def refuse() -> Response:
    raise StateForbids("The job began to run 0.3 s before you pressed Cancel.")


def app_with_a_page(settings: Settings) -> FastAPI:
    app = made_app(settings)
    app.include_router(pages)
    app.include_router(actions)
    return app


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = app_with_a_page(settings.model_copy(update={"environment": "production <1>"}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"accept": "text/html"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client,
    ):
        yield client


async def token_of(browser: httpx.AsyncClient) -> str:
    body = Html((await browser.get("/thing")).text).one("body")
    return body["hx-headers"].split('"')[3]


async def test_a_page_says_where_one_is_and_who_one_is(browser: httpx.AsyncClient) -> None:
    page = Html((await browser.get("/thing")).text)
    assert page.one("title").words == "Thing · Postlude"
    assert page.one("span", class_="env").words == "production <1>"
    sections = [one.words for one in page.all("a", aria_current="page") if one["href"] == "/jobs"]
    assert sections == ["Jobs", "Jobs"], "in the bar, and in the menu of a phone"
    assert page.one("span", class_="name").words == "open"
    assert f"Postlude {version('postlude')}" in page.one("footer").words
    assert page.one("html")["data-now"].endswith("Z")


async def test_a_page_can_load_what_is_ours_and_nothing_else(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/thing")
    assert answer.headers["content-security-policy"] == (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin", "or forms would come with `Origin: null`"
    assert answer.headers["cache-control"] == "no-store"
    page = Html(answer.text)
    assert not [one for one in page.elements if any(re.match("style$|on", name) for name in one.attributes)]
    assert not page.all("style")
    assert all(one["src"] and not one.words for one in page.all("script"))
    for one in [*page.all("script"), *page.all("link")]:
        file = await browser.get(one.attributes.get("src") or one["href"])
        assert file.status_code == 200, one


async def test_a_script_is_answered_with_a_toast_beside_the_page(browser: httpx.AsyncClient) -> None:
    headers = {"hx-request": "true", "x-csrf-token": await token_of(browser)}
    answer = await browser.post("/thing/do", headers=headers)
    assert (answer.status_code, answer.headers["hx-trigger"]) == (200, "changed")
    toast = Html(answer.text)
    assert toast.one("div", id="toasts")["hx-swap-oob"] == "beforeend"
    assert toast.one("div", class_="toast").words == "It is done. OpenReally."
    assert toast.one("a")["href"] == "/thing"


async def test_a_refusal_is_a_toast_in_the_words_of_the_api(browser: httpx.AsyncClient) -> None:
    headers = {"hx-request": "true", "x-csrf-token": await token_of(browser)}
    answer = await browser.post("/thing/refuse", headers=headers)
    assert answer.status_code == 409
    toast = Html(answer.text).one("div", class_="toast")
    assert "is-wrong" in toast["class"]
    assert toast["role"] == "alert"
    assert toast.words == f"{StateForbids.title}The job began to run 0.3 s before you pressed Cancel."


async def test_without_a_script_one_comes_back_to_the_page_which_tells_it_once(browser: httpx.AsyncClient) -> None:
    form = {"csrf": await token_of(browser)}
    referer = {"referer": "http://localhost/thing?x=1"}
    for path, told in (("/thing/do", "It is done."), ("/thing/refuse", "The job began to run")):
        answer = await browser.post(path, data=form, headers=referer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/thing?x=1")
        assert told in Html((await browser.get("/thing")).text).one("div", id="toasts").words
        assert not Html((await browser.get("/thing")).text).one("div", id="toasts").words


async def test_an_action_asks_for_a_token_of_the_page(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/thing/do", headers={"hx-request": "true"})
    assert answer.status_code == 403
    assert "is-wrong" in Html(answer.text).one("div", class_="toast")["class"]


async def test_who_is_not_signed_in_is_asked_to_and_learns_nothing(settings: Settings) -> None:
    app = app_with_a_page(settings.model_copy(update={"api_keys": (SecretStr("a-key-of-the-settings"),)}))
    headers = {"accept": "text/html"}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client,
    ):
        asked = await client.get("/thing?x=1")
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2Fthing%3Fx%3D1")
        script = await client.post("/thing/do", headers={"hx-request": "true"})
        assert (script.status_code, script.headers["hx-redirect"]) == (204, "/sign-in?next=%2F")
        for path in ("/", "/stream", "/find?q=x"):
            assert (await client.get(path)).headers["location"].startswith("/sign-in"), path
        missing = (await client.get("/nothing")).text
        page = Html(missing)
        assert "There is nothing at" in page.main
        assert "Jobs" not in page.one("nav", id="sections").words
        assert page.one("span", class_="name").words == "not signed in"
        assert not page.all("span", class_="count")
        assert [one.words for one in page.all("a", class_="button")] == ["Sign in"]
        assert 'href="/sign-in?next=%2Fnothing"' in missing


async def test_errors_of_pages_are_pages_and_those_of_calls_stay_problems(browser: httpx.AsyncClient) -> None:
    for path, status, told in (
        ("/nothing", 404, "There is nothing at /nothing"),
        ("/thing?unknown=1", 422, "unknown"),
        ("/bug", 500, "it is logged"),
    ):
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), path
        assert told in Html(answer.text).main
    offered = {
        path: Html((await browser.get(path)).text).all("a", class_="button") for path in ("/lanes/none", "/nothing")
    }
    assert [one.words for one in offered["/lanes/none"]] == ["Lanes", "Overview", "Jobs"]
    assert [one.words for one in offered["/nothing"]] == ["Overview", "Jobs"]
    for path in ("/v1/nothing", "/v1/jobs/nothing"):
        assert (await browser.get(path)).headers["content-type"] == "application/problem+json"
    program = await browser.get("/nothing", headers={"accept": "*/*"})
    assert program.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("how", ["root_path", "mount"])
async def test_under_a_prefix_every_address_has_it(settings: Settings, how: str) -> None:
    behind = settings.model_copy(update={"root_path": "/postlude"}) if how == "root_path" else settings
    inner = app_with_a_page(behind)
    outer: FastAPI = inner
    if how == "mount":
        outer = FastAPI()
        outer.mount("/postlude", inner)
    async with (
        inner.router.lifespan_context(inner),
        httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://localhost") as client,
    ):
        page = Html((await client.get("/postlude/thing", headers={"accept": "text/html"})).text)
        addresses = [one[name] for one in page.elements for name in ("href", "src", "action") if name in one.attributes]
        own = [one for one in addresses if not one.startswith("#")]
        assert own
        assert not [one for one in own if not one.startswith("/postlude")]
        found = {one: (await client.get(one)).status_code for one in own if "/assets/" in one}
        assert set(found.values()) == {200}
        headers = {"x-csrf-token": page.one("body")["hx-headers"].split('"')[3]}
        back = headers | {"referer": "http://localhost/postlude/thing"}
        done = await client.post("/postlude/thing/do", headers=back)
        assert (done.status_code, done.headers["location"]) == (303, "/postlude/thing")
        assert "Path=/postlude" in done.headers["set-cookie"]
        missing = await client.get("/postlude/nothing", headers={"accept": "text/html"})
        assert "There is nothing at" in Html(missing.text).main
        assert Html(missing.text).one("a", class_="brand")["href"] == "/postlude/"
