"""Every call and every page, asked for by everybody: without a key, with each scope, limited, and signed in."""

import re
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from service.access.passwords import Passwords
from service.access.principal import Role
from service.access.users import Users
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.apps import made_app, routes_of
from tests.support.browser import browsing
from tests.support.keyed import bearer, closed, make_key
from tests.support.running import eventually, running_api

PASSWORD = "correct horse battery"
# What anybody may ask for: probes and documents, how the pages look, and the way in.
OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/redoc", "/openapi.json", "/sign-in", "/sign-in/oidc"}
OPEN |= {"/sign-in/oidc/back", "/docs/assets/{path:path}", "/assets/{digest}/{name:path}"}
# A ticket changes nothing, so readers may make one.
READS_BY_POST = {"/v1/jobs/{job_id}/events/tickets"}
ENQUEUES = {"/v1/jobs", "/v1/jobs/batch", "/v1/flows", "/v1/apps/{name}", "/v1/files", "/files/upload"}
# Callers who may enqueue find their own jobs there.
READS_OWN = {"/v1/files/{file_id}"}
FOR_ADMINS = ("/v1/keys", "/v1/audit", "/keys", "/users", "/audit")
DELETES_APPS = {("DELETE", "/v1/apps/{name}"), ("POST", "/apps/{name}/delete")}
# What a limited key may ask for: it is narrowed there.
NARROWED = re.compile(
    r"/v1/(jobs.*|files.*|failures.*|operations.*|flows$|kinds$|queues$|workers$|workers/\{worker_id\}$|apps/\{name\}$)"
)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let changes of keys take effect sooner."""
    monkeypatch.setattr("service.access.remembered._FRESH_FOR_S", 0.05)
    monkeypatch.setattr("service.access.remembered._HOLDS_FOR_S", 0.1)


@pytest.fixture(autouse=True)
def passwords_are_hashed_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("service.access.passwords._hasher", lambda: hasher)


def asked_for(settings: Settings) -> list[tuple[str, str]]:
    """Return the method and the path of every route, except open ones."""
    routes = [(method, route.path) for route in routes_of(made_app(settings).routes) for method in route.methods]
    return [(method, path) for method, path in routes if path not in OPEN and method != "HEAD"]


def filled(path: str) -> str:
    path = re.sub(r":\w+}", "}", path)
    return path.format_map({name: "x" for _, name, _, _ in string.Formatter().parse(path) if name})


def scope_of(method: str, path: str) -> str:
    """Return the scope that a route should ask for, by what it does."""
    if path.startswith(FOR_ADMINS) or (method, path) in DELETES_APPS:
        return "admin"
    if (method in ("POST", "PUT") and path in ENQUEUES) or "/enqueue" in path:
        return "enqueue"
    if method != "GET" and path not in READS_BY_POST:
        return "operate"
    return "operate" if path in ("/jobs/bulk", "/failures/{fingerprint}/replay") else "read"


INCLUDES = {
    "enqueue": {"enqueue"},
    "read": {"read"},
    "operate": {"read", "operate"},
    "viewer": {"read"},
    "operator": {"read", "operate", "enqueue"},
    "admin": {"read", "operate", "enqueue", "admin"},
}


@asynccontextmanager
async def signed_in(api: httpx.AsyncClient, name: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.base_url, transport=api._transport) as browser:
        answer = await browser.post("/sign-in", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        yield browser


async def token(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/")).text)
    assert found is not None
    return found[1]


def with_token(path: str, token: str) -> dict[str, Any]:
    """Send the token as the pages do: an upload has it in a header, for its body is the file."""
    return {"headers": {"X-CSRF-Token": token}} if path == "/files/upload" else {"data": {"csrf": token}}


def is_refused(answer: httpx.Response) -> bool:
    if "hx-redirect" in answer.headers:
        return answer.headers["hx-redirect"].startswith("/sign-in")
    return answer.status_code in (401, 403)


@on_sqlite
async def test_each_route_asks_for_what_it_does_whoever_calls(settings: Settings) -> None:
    routes = asked_for(settings)
    assert len(routes) > 120
    async with browsing(closed(settings)) as api:
        api.headers["HX-Request"] = "true"  # so that pages answer with the status of what went wrong
        keys = {scope: (await make_key(api, scope))["key"] for scope in ("enqueue", "read", "operate", "admin")}
        limited = (await make_key(api, "read", "operate", "enqueue", kinds=["shop.*"]))["key"]
        dead = await make_key(api, "admin")
        await api.delete(f"/v1/keys/{dead['id']}", headers=bearer((await make_key(api, "admin"))["key"]))
        wrong: list[dict[str, str]] = [{}, bearer("wrong"), bearer(dead["key"]), bearer(f"{keys['admin']}x")]
        for method, path in routes:
            for headers in wrong:
                answer = await api.request(method, filled(path), headers=headers)
                assert is_refused(answer), (method, path, answer.status_code)
            is_page = not path.startswith("/v1")
            for scope, key in keys.items():
                may = scope_of(method, path) in INCLUDES[scope] and (not is_page or "read" in INCLUDES[scope])
                may = may or (scope == "enqueue" and method == "GET" and path in READS_OWN)
                if path in ("/stream", "/sign-out") or (may and path.endswith("/events")):
                    continue
                answer = await api.request(method, filled(path), headers=bearer(key))
                assert (not is_refused(answer)) is may, (method, path, scope, answer.status_code, answer.text[:300])
                assert answer.status_code < 500, (method, path, answer.text[:300])
            if is_page or not NARROWED.fullmatch(path):
                answer = await api.request(method, filled(path), headers=bearer(limited))
                assert is_refused(answer), (method, path, answer.status_code)


@on_sqlite
async def test_each_action_of_a_page_asks_for_the_role_and_for_the_token_of_its_session(
    settings: Settings, ledger: Ledger
) -> None:
    users = Users(ledger.database, Passwords())
    for role in Role:
        await users.add(role.value, role, password=PASSWORD)
    pages = [(method, path) for method, path in asked_for(settings) if not path.startswith("/v1")]
    async with browsing(closed(settings)) as api:
        for role in Role:
            async with signed_in(api, role.value) as browser, signed_in(api, "admin") as other:
                own, foreign = await token(browser), await token(other)
                browser.headers["HX-Request"] = "true"
                for method, path in pages:
                    if path in ("/stream", "/sign-out", "/users/{name}/sign-out"):
                        continue
                    may = scope_of(method, path) in INCLUDES[role.value]
                    if method == "GET":
                        answer = await browser.get(filled(path))
                        assert (not is_refused(answer)) is may, (role, path, answer.status_code)
                        continue
                    for sent in ({}, {"csrf": foreign}, {"csrf": "x"}, {"csrf": f"{own}x"}):
                        answer = await browser.request(method, filled(path), data=sent)
                        assert is_refused(answer), (role, path, sent, answer.status_code)
                    answer = await browser.request(method, filled(path), **with_token(path, own))
                    assert (not is_refused(answer)) is may, (role, path, answer.status_code, answer.text[:200])
                    assert answer.status_code < 500, (role, path, answer.text[:300])
                    answer = await browser.request(
                        method, filled(path), data={"csrf": own}, headers={"Origin": "http://evil.example"}
                    )
                    assert answer.status_code == 403, (role, path)
                for path in ("/v1/jobs", "/v1/keys"):
                    assert (await browser.get(path)).status_code == 401, "a cookie opens no call"


@on_sqlite
@pytest.mark.usefixtures("forgetful")
async def test_a_key_that_is_limited_after_it_has_signed_in_opens_no_page_any_more(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        made = await make_key(api, "read")
        async with httpx.AsyncClient(base_url=api.base_url, trust_env=False) as browser:
            assert (await browser.post("/sign-in", data={"key": made["key"]})).status_code == 303
            assert (await browser.get("/jobs")).status_code == 200
            changed = {"kinds": ["shop.*"]}
            answer = await api.patch(f"/v1/keys/{made['id']}", json=changed, headers=bearer("the-first-key"))
            assert answer.status_code == 200, answer.text

            async def refused() -> bool:
                return (await browser.get("/jobs")).status_code == 403

            await eventually(refused)
