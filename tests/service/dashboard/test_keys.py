"""The pages of keys, users and the audit: a key is shown once, and every action is recorded with its changes."""

import re
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking, words

pytestmark = on_sqlite
ADMIN = "an-admin-key"


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    """A browser that sends a key which may do all."""
    async with looking(settings.model_copy(update={"api_keys": (SecretStr(ADMIN),)})) as browser:
        browser.client.headers["Authorization"] = f"Bearer {ADMIN}"
        yield browser


async def test_a_key_is_told_once_and_opens_what_it_may_until_it_is_revoked(browser: Browser) -> None:
    wrong = await browser.send("/keys", {"name": "", "scopes": "admin", "kinds": "send_*"})
    assert wrong.status_code == 422
    assert "at least 1 character" in words(wrong.text)
    typed = {"name": "shop <b>", "scopes": "read", "kinds": "send_*, x", "expires_in": "2592000", "sees_args": "on"}
    made = words((await browser.send("/keys", typed)).text)
    [key] = re.findall(r"plk_\w+_[\w-]{40,}", made)
    page = await browser.page("/keys")
    assert key not in page
    assert f"{key[:12]}" in page
    assert "live read kinds send_*, x never in 29 days" in words(page)
    own = {"Authorization": f"Bearer {key}"}
    assert (await browser.client.get("/v1/jobs", headers=own)).status_code == 200
    assert (await browser.client.get("/keys", headers=own)).status_code == 403
    [key_id] = set(re.findall(r"/keys/([0-9a-f-]{36})/revoke", page))
    again = words((await browser.send(f"/keys/{key_id}/rotate", {"grace": "3600"})).text)
    [rotated] = re.findall(r"plk_\w+_[\w-]{40,}", again)
    assert rotated != key
    assert "old one until" in await browser.words("/keys")
    assert "is revoked" in await browser.act(f"/keys/{key_id}/revoke")
    assert "revoked just now" in await browser.words("/keys")
    assert (await browser.client.get("/v1/jobs", headers=own)).status_code == 401
    audit = await browser.page("/audit?target_type=key")
    assert not {key, rotated} & set(re.findall(r"plk_[\w-]+", audit))
    for told in ("create key", "rotate key", "revoke key"):
        assert told in words(audit)


async def test_a_key_that_somebody_takes_for_its_id_is_not_noted(browser: Browser) -> None:
    made = words((await browser.send("/keys", {"name": "shop", "scopes": "read", "expires_in": ""})).text)
    [key] = re.findall(r"plk_\w+_[\w-]{40,}", made)
    for action in ("revoke", "rotate"):
        await browser.send(f"/keys/{key}/{action}", {"grace": "3600"})
    assert key not in await browser.page("/audit")


async def test_users_are_added_changed_and_disabled_and_the_audit_shows_before_and_after(browser: Browser) -> None:
    short = await browser.send("/users", {"name": "ann", "role": "viewer", "password": "short"})
    assert "A password must have 12 to 200 characters" in words(short.text)
    password = "correct horse battery"
    added = await browser.send("/users", {"name": "ann", "role": "viewer", "password": password})
    assert added.headers["location"] == "/users"
    taken = await browser.send("/users", {"name": "ann", "role": "viewer"})
    assert "There is already a user 'ann'" in words(taken.text)
    assert "ann is admin from now on" in await browser.act("/users/ann/role", role="admin")
    assert "ann sees no args" in await browser.words("/users")
    assert "ann sees args and results" in await browser.act("/users/ann/args", sees_args="yes")
    assert "a new password" in await browser.act("/users/ann/password", password=f"{password}!")
    assert "signed out everywhere" in await browser.act("/users/ann/sign-out")
    assert "can no longer sign in" in await browser.act("/users/ann/disable")
    assert "disabled" in await browser.words("/users")
    assert "can sign in again" in await browser.act("/users/ann/enable")
    page = await browser.page("/audit?target=ann")
    assert password not in page
    told = words(page)
    assert '"role" : "viewer" } After { "role" : "admin"' in told
    assert "refused" in told


async def test_the_audit_is_filtered_paged_and_hides_args_from_those_who_may_not_see_them(browser: Browser) -> None:
    for number in range(52):
        await browser.call("PUT", f"/v1/lanes/tenant:{number}", {"concurrency": 1})
    first = await browser.page("/audit?action=set&target_type=lane")
    assert "50 actions" in words(first)
    [older] = re.findall(r'href="(/audit\?[^"]*cursor[^"]*)"', first)
    second = await browser.words(older.replace("&amp;", "&"))
    assert "2 actions" in second
    assert "tenant:0" in second
    one = await browser.words("/audit?target=tenant:7&actor=bootstrap")
    assert "1 action" in one
    assert "set lane tenant:7" in one
    assert "No actions match" in await browser.words("/audit?actor=nobody&after=2026-01-01")
    assert "neither a day nor a moment" in await browser.words("/audit?after=soon", status=422)
    await browser.send("/kinds/update_stats/enqueue", {"args/subject": "s3cr3t-subject", "args/event": "b"})
    assert "s3cr3t-subject" in await browser.page("/audit?action=enqueue")
    blind = await browser.send("/keys", {"name": "blind", "scopes": "admin"})
    [key] = re.findall(r"plk_\w+_[\w-]{40,}", blind.text)
    browser.client.headers["Authorization"] = f"Bearer {key}"
    hidden = await browser.page("/audit?action=enqueue")
    assert "s3cr3t-subject" not in hidden
    assert "hidden" in hidden


async def test_links_of_the_audit_to_what_is_gone_lead_to_pages_that_say_so(browser: Browser) -> None:
    schedule = {"kind": "cleanup", "args": {}, "cron": "0 3 * * *"}
    for path, body in (("/v1/lanes/tenant:1", {"concurrency": 1}), ("/v1/schedules/nightly", schedule)):
        await browser.call("PUT", path, body)
        assert (await browser.client.delete(path)).status_code == 204
    links = set(re.findall(r'href="(/(?:lanes|schedules)/[^"]+)"', await browser.page("/audit")))
    told = [await browser.words(link, status=404) for link in sorted(links)]
    assert "There is no lane 'tenant:1': no rule names it, and no kept job was in it." in told[0]
    assert "There is no schedule 'nightly'. It may have been deleted." in told[1]
