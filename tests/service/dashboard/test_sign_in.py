"""Signing in on the pages: with a key, with a password, by the word of another service; and what ends a session."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey
from pydantic import SecretStr
from sqlalchemy import select, update

from service.access.key_text import new_key
from service.access.passwords import Passwords
from service.access.principal import Role
from service.access.throttle import Throttle
from service.access.users import Users
from service.access_tables import trail, users
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.keyed import BOOTSTRAP, bearer, closed, make_key
from tests.support.oidc_provider import CLIENT, Provider, query_of, running_provider
from tests.support.running import eventually, running_api
from tests.support.writing import writing

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash as argon2 does, but not for a tenth of a second; forget what was looked up as soon as that."""
    monkeypatch.setattr("service.access.remembered._FRESH_FOR_S", 0.05)
    monkeypatch.setattr("service.access.remembered._HOLDS_FOR_S", 0.1)
    from argon2 import PasswordHasher

    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("service.access.passwords._hasher", lambda: hasher)


@asynccontextmanager
async def browser_of(api: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Yield another browser."""
    async with httpx.AsyncClient(base_url=api.base_url, trust_env=False, verify=False) as browser:
        yield browser


def users_of(ledger: Ledger) -> Users:
    return Users(ledger.database, Passwords())


async def sign_in(browser: httpx.AsyncClient, **form: str) -> httpx.Response:
    return await browser.post("/sign-in", data={"next": "/"} | form)


async def is_in(browser: httpx.AsyncClient) -> bool:
    answer = await browser.get("/")
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


async def token(browser: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/")).text)
    assert found is not None
    return found[1]


def cookie_of(answer: httpx.Response) -> str:
    [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith("postlude_session=")]
    return cookie


@on_sqlite
async def test_each_session_has_a_rate_limit_of_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.state._SESSION_RATE_LIMIT", "3/h")
    async with running_api(closed(settings, rate_limit="1/h")) as api, browser_of(api) as other:
        await sign_in(api, key=BOOTSTRAP)
        answers = [await api.get("/lanes") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=3600'
        assert 1100 <= int(answers[-1].headers["retry-after"]) <= 1200
        await sign_in(other, key=BOOTSTRAP)
        assert (await other.get("/lanes")).status_code == 200
        assert (await api.get("/v1/queues", headers=bearer(BOOTSTRAP))).status_code == 200, "programs count apart"


@on_sqlite
async def test_whoever_is_not_signed_in_is_asked_and_goes_on_to_what_was_asked_for(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        asked = await api.get("/", params={"since": "1h"})
        assert (asked.status_code, asked.headers["location"]) == (303, "/sign-in?next=%2F%3Fsince%3D1h")
        page = await api.get("/sign-in", params={"next": "/?since=1h"})
        assert page.status_code == 200
        for name, value in {"x-content-type-options": "nosniff", "cache-control": "no-store"}.items():
            assert page.headers[name] == value
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert 'name="next" value="/?since=1h"' in page.text
        assert "postlude keys create NAME --scope operate" in page.text
        gone_on = await sign_in(api, key=BOOTSTRAP, next="/?since=1h")
        assert (gone_on.status_code, gone_on.headers["location"]) == (303, "/?since=1h")
        assert set(cookie_of(gone_on).split("; ")[1:]) == {"Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"}
        assert await is_in(api)
        assert (await api.get("/sign-in")).status_code == 303


@on_sqlite
@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n\\evil.example",
        "javascript:alert(1)",
    ],
)
async def test_no_link_leads_to_another_site(settings: Settings, path: str) -> None:
    async with running_api(closed(settings)) as api:
        assert f'value="{path}"' not in (await api.get("/sign-in", params={"next": path})).text
        assert (await sign_in(api, key=BOOTSTRAP, next=path)).headers["location"] == "/"
        assert (await api.get("/sign-in", params={"next": path})).headers["location"] == "/"


@on_sqlite
async def test_a_refused_sign_in_logs_the_names_of_users_alone_and_remembers_little_of_others(
    settings: Settings, ledger: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await users_of(ledger).add("anna", Role.VIEWER, password=PASSWORD)
    remembered: list[str] = []
    failed = Throttle.failed

    def noting(throttle: Throttle, name: str) -> None:
        remembered.append(name)
        failed(throttle, name)

    monkeypatch.setattr(Throttle, "failed", noting)
    async with running_api(closed(settings, log_level="INFO")) as api:
        for name in ("anna", "my secret passphrase", "x" * 1_000_000):
            assert (await sign_in(api, name=name, password="wrong")).status_code == 401
    said = capsys.readouterr().err
    assert said.count("sign_in_refused") == 3
    assert '"user": "anna"' in said
    assert "passphrase" not in said
    assert max(map(len, remembered)) < 100


@on_sqlite
async def test_a_key_of_the_settings_that_looks_like_one_of_the_ledger_signs_in(settings: Settings) -> None:
    key = new_key().text
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr(key),)})) as api:
        assert (await sign_in(api, key=key)).status_code == 303
        assert await is_in(api)


@on_sqlite
async def test_a_script_is_led_on_whatever_characters_the_path_has(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        api.headers["HX-Request"] = "true"
        answer = await sign_in(api, key=BOOTSTRAP, next="/jobs?tag=ü€")
        assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/jobs?tag=%C3%BC%E2%82%AC")


@on_sqlite
async def test_cookies_travel_by_tls_alone_where_the_page_did(settings: Settings) -> None:
    async with running_api(closed(settings, root_path="/jobs")) as api:
        answer = await api.post("/jobs/sign-in", data={"key": BOOTSTRAP}, headers={"X-Forwarded-Proto": "https"})
        assert {"Secure", "Path=/jobs"} <= set(cookie_of(answer).split("; "))


@on_sqlite
async def test_a_session_ends_with_what_it_was_opened_with_and_no_copy_of_it_outlives_it(
    settings: Settings, ledger: Ledger
) -> None:
    anna = users_of(ledger)
    await anna.add("anna", Role.OPERATOR, password=PASSWORD)
    async with running_api(closed(settings)) as api:
        made = await make_key(api, "read")

        async def ends(form: dict[str, str], end: Any) -> None:
            """Sign in, keep a copy of the cookie, end the session, and see that neither opens anything any more."""
            async with browser_of(api) as browser, browser_of(api) as thief:
                assert (await sign_in(browser, **form)).status_code == 303
                thief.cookies.update(browser.cookies)
                assert await is_in(thief)
                await end(browser)

                async def is_out() -> bool:
                    return not await is_in(thief)

                await eventually(is_out)

        async def sign_out(browser: httpx.AsyncClient) -> None:
            answer = await browser.post("/sign-out", data={"csrf": await token(browser)})
            assert (answer.headers["location"], "Max-Age=0" in cookie_of(answer)) == ("/sign-in", True)

        async def rotate(_browser: httpx.AsyncClient) -> None:
            await api.post(f"/v1/keys/{made['id']}/rotate", json={"grace": 0}, headers=bearer(BOOTSTRAP))

        own = {"name": "anna", "password": PASSWORD}
        await ends({"key": BOOTSTRAP}, sign_out)
        await ends(own, sign_out)
        await ends(own, lambda _: anna.set_password("anna", PASSWORD))
        await ends(own, lambda _: anna.disable("anna"))
        await ends({"key": made["key"]}, rotate)
        refused = await sign_in(api, **own)
        assert (refused.status_code, "Wrong name or password" in refused.text) == (401, True)
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("another"),)})) as api:
        await sign_in(api, key="another")
        stolen = dict(api.cookies)
    async with running_api(closed(settings)) as api:
        api.cookies.update(stolen)
        assert not await is_in(api)  # its key is not in the settings any more
    async with ledger.read() as connection:
        noted = (await connection.execute(select(trail.c.action, trail.c.principal))).all()
    assert ("sign_in", "user:anna") in [tuple(one) for one in noted]
    assert ("sign_out", "bootstrap") in [tuple(one) for one in noted]


@on_sqlite
async def test_a_forged_cookie_opens_nothing(settings: Settings, ledger: Ledger) -> None:
    from itsdangerous import URLSafeTimedSerializer

    await users_of(ledger).add("anna", Role.ADMIN, password=PASSWORD)
    async with running_api(closed(settings)) as api:
        await sign_in(api, name="anna", password=PASSWORD)
        good = api.cookies["postlude_session"]
        payload, moment, signature = good.split(".")
        other = URLSafeTimedSerializer("a guess", salt="postlude session")
        claims = {"id": "0" * 32, "mark": "0", "user": "anna", "prefix": ""}
        forged = [
            "",
            "x",
            payload,
            f"{payload}.{moment}.",
            f"{payload}.{moment}.{signature[:-2]}xx",
            f"{payload[:-4]}AAAA.{moment}.{signature}",
            other.dumps(claims),
            "." * 100,
            "%00",
        ]
        for cookie in forged:
            async with browser_of(api) as browser:
                answer = await browser.get("/", headers={"Cookie": f"postlude_session={cookie}"})
                assert answer.status_code == 303, cookie
        async with writing(ledger.database) as connection:
            await connection.execute(update(users).values(session_epoch=7))

        async def is_out() -> bool:
            return not await is_in(api)

        await eventually(is_out)


@on_sqlite
async def test_no_page_of_another_origin_and_no_form_without_its_token_acts(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        await sign_in(api, key=BOOTSTRAP)
        right = {"csrf": await token(api)}
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert (await api.post("/sign-out", data=right, headers=headers)).status_code == 403
        async with browser_of(api) as other:
            await sign_in(other, key=BOOTSTRAP)
            theirs = await token(other)
        for wrong in ({}, {"csrf": ""}, {"csrf": theirs}, {"csrf": right["csrf"][:-1] + "x"}, {"csrf": "a.b"}):
            answer = await api.post("/sign-out", data=wrong, headers={"HX-Request": "true"})
            assert answer.status_code == 403, wrong
        assert await is_in(api)
        assert (await api.get("/sign-out")).status_code == 405
        large = {"x": "y" * 3_000_000} | right
        assert (await api.post("/sign-out", data=large, headers={"HX-Request": "true"})).status_code == 413
        assert await is_in(api)  # on the same connection, which the rest of that form came over
        assert (await api.post("/sign-out", headers={"X-CSRF-Token": right["csrf"]})).status_code == 303
        assert not await is_in(api)


@on_sqlite
async def test_guesses_are_slowed_down_and_lock_out_neither_other_places_nor_keys_nor_who_was_here_before(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle.__init__, "__kwdefaults__", {"clock": lambda: 0.0})  # no wait is over meanwhile
    everybody = users_of(ledger)
    for name in ("anna", "bert"):
        await everybody.add(name, Role.VIEWER, password=PASSWORD)

    async def guess(password: str, place: str, name: str = "anna") -> int:
        data = {"name": name, "password": password}
        return (await api.post("/sign-in", data=data, headers={"X-Forwarded-For": place})).status_code

    async with running_api(closed(settings)) as api:
        assert await guess(PASSWORD, "198.51.100.1") == 303
        first = await api.post("/sign-in", data={"name": "anna", "password": "wrong"})
        assert "You can try 4 more times" in first.text
        assert [await guess("wrong", "203.0.113.9") for _ in range(6)] == [401] * 5 + [429]
        slowed = await api.post(
            "/sign-in", data={"name": "anna", "password": "x"}, headers={"X-Forwarded-For": "203.0.113.9"}
        )
        assert int(slowed.headers["retry-after"]) >= 1
        assert await guess(PASSWORD, "203.0.113.9") == 429  # not even the right one
        assert await guess(PASSWORD, "203.0.113.10") == 303
        assert await guess(PASSWORD, "203.0.113.9", "bert") == 303
        # Many places guess, but users at a known place go on.
        for number in range(30):
            await guess("wrong", f"192.0.2.{number}")
        assert await guess(PASSWORD, "192.0.2.200") == 429
        assert await guess(PASSWORD, "198.51.100.1") == 303
        key = await api.post("/sign-in", data={"key": BOOTSTRAP}, headers={"X-Forwarded-For": "203.0.113.9"})
        assert key.status_code == 303
        # One place has one name in IPv6, however many addresses.
        for number in range(5):
            await guess("wrong", f"2001:db8:0:1::{number}", "bert")
        assert await guess(PASSWORD, "2001:db8:0:1:ffff::1", "bert") == 429


@on_sqlite
async def test_a_role_says_what_a_user_may_do_and_a_limited_key_has_no_pages(
    settings: Settings, ledger: Ledger
) -> None:
    await users_of(ledger).add("vera", Role.VIEWER, password=PASSWORD)
    async with running_api(closed(settings)) as api:
        for scopes, more in ((["enqueue"], {}), (["read"], {"kinds": ["send_email"]})):
            made = await make_key(api, *scopes, **more)
            refused = await sign_in(api, key=made["key"])
            assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        assert (await sign_in(api, key="plk_wrong")).status_code == 401
        await sign_in(api, name="vera", password=PASSWORD)
        assert await is_in(api)
        assert "vera" in (await api.get("/")).text
        # A cookie is for pages: no call below /v1 takes it, so none can be made through a browser.
        assert (await api.get("/v1/jobs")).status_code == 401


@on_sqlite
async def test_where_anybody_may_call_nobody_signs_in(settings: Settings) -> None:
    async with running_api(settings) as api:
        assert await is_in(api)
        assert (await api.get("/sign-in")).status_code == 303
        assert "set-cookie" not in (await sign_in(api, key="anything")).headers


async def come_back(browser: httpx.AsyncClient, **changed: str) -> httpx.Response:
    """Go to the other service, and come back with what it says, or with something else."""
    away = await browser.get("/sign-in/oidc", params={"next": "/?since=1h"})
    assert away.status_code == 303, away.text
    assert "samesite=lax" in away.headers["set-cookie"].lower()
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        back = await http.get(away.headers["location"])
    return await browser.get("/sign-in/oidc/back", params=query_of(back.headers["location"]) | changed)


def with_provider(settings: Settings, provider: Provider) -> Settings:
    return closed(settings, oidc_issuer=provider.url, oidc_client_id=CLIENT[0], oidc_client_secret=SecretStr(CLIENT[1]))


@on_sqlite
async def test_another_service_signs_people_in_and_says_their_role(settings: Settings, ledger: Ledger) -> None:
    everybody = users_of(ledger)
    await everybody.add("local@example.com", Role.ADMIN, password=PASSWORD)
    async with running_provider() as provider, running_api(with_provider(settings, provider)) as api:
        assert "/sign-in/oidc?next=" in (await api.get("/sign-in", params={"next": "/jobs"})).text
        provider.says(email="ann@example.com", roles=["viewer", "operator", "x"])
        answer = await come_back(api)
        assert answer.status_code == 200
        assert 'content="0; url=/?since=1h"' in answer.text
        assert "SameSite=Strict" in cookie_of(answer)
        assert await is_in(api)
        assert (await everybody.find("ann@example.com")).role is Role.OPERATOR
        provider.says(email="ann@example.com", roles="admin")
        await come_back(api)
        assert (await everybody.find("ann@example.com")).role is Role.ADMIN
        async with ledger.read() as connection:
            given = (await connection.execute(select(trail.c.after).order_by(trail.c.id))).scalars().all()
        assert given == ['{"role":"operator"}', '{"role":"admin"}']
        for claims in (
            {"email": "ann@example.com"},  # no role
            {"email": "ann@example.com", "roles": ["owner"]},
            {"roles": ["admin"]},
            {"email": "bob@example.com", "email_verified": False, "roles": ["admin"]},
            {"email": "local@example.com", "roles": ["admin"]},  # has a password here
            {"email": "<script>", "roles": ["admin"]},
        ):
            provider.says(**claims)
            async with browser_of(api) as browser:
                refused = await come_back(browser)
                assert refused.status_code in (401, 422), claims
                assert "<script>alert" not in refused.text
                assert not await is_in(browser)
        await everybody.disable("ann@example.com")
        provider.says(email="ann@example.com", roles=["admin"])
        async with browser_of(api) as browser:
            assert (await come_back(browser)).status_code == 401


@on_sqlite
async def test_what_another_service_did_not_say_for_us_and_for_this_sign_in_is_refused(settings: Settings) -> None:
    good = {"email": "ann@example.com", "roles": ["admin"]}
    async with running_provider() as provider, running_api(with_provider(settings, provider)) as api:
        for claims in (
            {"aud": "another"},
            {"iss": "https://evil.example"},
            {"nonce": "of another sign-in"},
            {"exp": 1},
            {"azp": "another"},
            {"aud": [CLIENT[0], "another"]},
        ):
            provider.says(**good | claims)
            async with browser_of(api) as browser:
                assert (await come_back(browser)).status_code == 401, claims
        provider.says(**good)
        for key, algorithm in ((ECKey.generate_key("P-256"), "ES256"), (OctKey.import_key(CLIENT[1]), "HS256")):
            provider.key, provider.algorithm = key, algorithm
            async with browser_of(api) as browser:
                assert (await come_back(browser)).status_code == 401, algorithm
        provider.says(**good)
        for changed in ({"state": "x"}, {"code": "x"}, {"error": "access_denied"}, {"iss": "https://evil.example"}):
            async with browser_of(api) as browser:
                assert (await come_back(browser, **changed)).status_code == 401, changed
        async with browser_of(api) as browser, browser_of(api) as victim:
            away = await browser.get("/sign-in/oidc")
            async with httpx.AsyncClient(trust_env=False, verify=False) as http:
                back = query_of((await http.get(away.headers["location"])).headers["location"])
            assert (await victim.get("/sign-in/oidc/back", params=back)).status_code == 401  # began elsewhere
            assert (await browser.get("/sign-in/oidc/back", params=back)).status_code == 200
            assert (await browser.get("/sign-in/oidc/back", params=back)).status_code == 401  # once
        assert provider.configured == 1  # however often anybody begins


@on_sqlite
async def test_a_service_that_is_away_is_told_on_the_page_and_keys_go_on(settings: Settings) -> None:
    provider = Provider("http://127.0.0.1:9")
    async with running_api(with_provider(settings, provider)) as api:
        away = await api.get("/sign-in/oidc")
        assert (away.status_code, "does not answer" in away.text) == (401, True)
        assert (await sign_in(api, key=BOOTSTRAP)).status_code == 303
    async with running_api(closed(settings)) as api:
        assert (await api.get("/sign-in/oidc")).status_code == 404
