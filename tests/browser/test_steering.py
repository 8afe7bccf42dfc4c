"""What steers, with hands on it and behind a proxy's path: lanes, schedules, flows, workers, people and the rest."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.site import Site, running_site, sign_in
from tests.browser.watching import Watch
from tests.support.running import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
_ADDRESS = re.compile(r'(?:href|src|action|hx-get|hx-post|data-stream)="([^"]*)"')
_LINK = re.compile(r'<a [^>]*href="([^"#]+)')
_ID = re.compile(r"[0-9a-f-]{12,}")
LATER: dict[str, Any] = {"kind": "pack_order", "args": {"customer": "Ann"}, "delay": 3600}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("steering")
    async with running_site(folder, sqlite_template, redis_server, root_path="/postlude") as site:
        site.session = await sign_in(chromium, site)
        yield site


async def presses(page: Page, name: str, *, dialog: str | None = None) -> None:
    """Press a button of the page and, where it asks, that of its dialog."""
    await page.locator("main").get_by_role("button", name=name, exact=True).first.click()
    if dialog is not None:
        await page.get_by_role("dialog").get_by_role("button", name=dialog, exact=True).click()


async def says(page: Page, words: str) -> None:
    toast = page.locator(".toast", has_text=words)
    await expect(toast).to_be_visible()
    await toast.get_by_role("button", name="Close").click()


async def test_a_lane_is_limited_paused_forced_and_let_go(site: Site, page: Page, watch: Watch) -> None:
    await site.enqueue(**LATER, lane="tenant:7")
    await page.goto(f"{site.url}/lanes")
    await page.get_by_role("link", name="tenant:7").click()
    await page.get_by_role("link", name="Set limits").click()
    await page.get_by_label("At once, at most").fill("0")
    with watch.expecting("status of 422"):
        await presses(page, "Set the limits")
        await expect(page.locator("#concurrency-error")).to_be_visible()
    await page.get_by_label("At once, at most").fill("4")
    await presses(page, "Set the limits")
    await expect(page).to_have_url(f"{site.url}/lanes/tenant%3A7")
    await expect(page.locator("main")).to_contain_text("4 jobs")
    await presses(page, "Pause…", dialog="Pause")
    await says(page, "tenant:7 is paused")
    await presses(page, "Resume")
    await says(page, "tenant:7 goes on.")
    await presses(page, "Force it open")
    await expect(page.locator(".answer")).to_contain_text("It is held by hand")
    await presses(page, "Let it decide")
    await expect(page.locator(".answer")).to_contain_text("It is ready.")
    await presses(page, "Delete its settings")
    await says(page, "The settings of tenant:7 are deleted.")


async def test_a_queue_and_a_kind_are_paused_and_resumed(site: Site, page: Page) -> None:
    for path, what in (("/queues", "The queue default"), ("/kinds/pack_order", "pack_order")):
        sort = path.split("/")[1]
        await page.goto(f"{site.url}{path}")
        await page.locator("main").get_by_role("button", name="Pause…").first.click()
        await page.get_by_role("dialog").get_by_label("For").select_option(index=1)
        await page.get_by_role("dialog").get_by_role("button", name=re.compile("^Pause the")).click()
        await says(page, f"{what} is paused until")
        assert [one["name"] for one in (await site.call("GET", f"/v1/{sort}"))[sort] if one["paused"]] == [
            what.split()[-1]
        ]
        await presses(page, "Resume")
        await says(page, f"{what} goes on.")
        assert not [one for one in (await site.call("GET", f"/v1/{sort}"))[sort] if one["paused"]]


async def test_a_job_is_enqueued_by_hand(site: Site, page: Page, watch: Watch) -> None:
    await page.goto(f"{site.url}/kinds/pack_order/enqueue")
    await page.get_by_role("button", name="JSON", exact=True).click()
    await page.locator("textarea[name=args]").fill('{"customer": 1}')
    with watch.expecting("status of 422"):
        await presses(page, "Enqueue the job")
        await expect(page.locator("#enqueue [role=status]")).to_contain_text("Fix 1 field")
    await page.locator("textarea[name=args]").fill('{"customer": "Bob"}')
    await page.get_by_role("button", name="Form", exact=True).click()
    await expect(page.get_by_label("customer")).to_have_value("Bob")
    await page.get_by_label("customer").fill("Ann")
    await expect(page.get_by_label("Request as JSON")).to_contain_text('"Ann"')
    await page.get_by_role("button", name="Add one").first.click()
    await page.get_by_role("textbox", name="product").fill("tea")
    await page.get_by_role("button", name="JSON", exact=True).click()
    await expect(page.locator("textarea[name=args]")).to_have_value(re.compile('"tea"'))
    await presses(page, "Enqueue the job")
    await expect(page.locator("h1")).to_contain_text("pack_order")
    await expect(page.locator("h1")).to_contain_text("succeeded")
    await expect(page.get_by_label("Args as JSON")).to_contain_text('"tea"')


async def test_a_schedule_is_made_run_paused_changed_and_deleted(site: Site, page: Page, watch: Watch) -> None:
    await page.goto(f"{site.url}/schedule-form")
    await page.get_by_label("Name").fill("nightly")
    await page.get_by_label("Kind").select_option("pack_order")
    await page.get_by_label("Args, as JSON").fill('{"customer": "Ann"}')
    await page.get_by_label("When").press_sequentially("61 4 * * *")
    with watch.expecting("status of 422"):
        await presses(page, "Make the schedule")
        await expect(page.locator("#cron-error")).to_be_visible()
    await page.get_by_label("When").fill("30 4 * * *")
    await expect(page.locator("#when")).to_contain_text("4:30")
    await presses(page, "Make the schedule")
    await says(page, "nightly is made.")
    await presses(page, "Run now")
    await says(page, "nightly runs now, out of turn.")
    await page.get_by_role("button", name="Pause…").click()
    await page.get_by_role("dialog").get_by_label("Why").fill("the source moves")
    await page.get_by_role("dialog").get_by_role("button", name="Pause it").click()
    await says(page, "nightly is paused.")
    await expect(page.locator(".answer")).to_contain_text("the source moves")
    await presses(page, "Resume")
    await says(page, "nightly ticks again.")
    await page.get_by_role("link", name="Edit").click()
    await page.get_by_label("When").fill("0 5 * * *")
    await presses(page, "Change the schedule")
    await says(page, "nightly is changed.")
    with watch.expecting("status of 404"):  # a refresh may ask once more for the page of what is gone
        await presses(page, "Delete…", dialog="Delete the schedule")
    await expect(page).to_have_url(f"{site.url}/schedules")
    await expect(page.locator("main")).not_to_contain_text("nightly")


async def test_a_flow_is_replayed_and_cancelled(site: Site, page: Page) -> None:
    members = [
        {"name": "first", "kind": "stumble", "args": {}},
        {"name": "second", **LATER},
        {"name": "third", "kind": "pack_order", "args": {"customer": "Ann"}, "after": ["second"]},
    ]
    flow = await site.call("POST", "/v1/flows", {"name": "import", "jobs": members})
    await site.reaches(flow["jobs"]["first"], "failed")
    await page.goto(f"{site.url}/flows")
    await page.get_by_role("link", name="import").click()
    await presses(page, "Replay the failed jobs")
    await expect(page.locator(".toast")).to_be_visible()
    await site.reaches(flow["jobs"]["first"], "failed")  # once more
    await page.reload()
    await presses(page, "Cancel the flow…", dialog="Cancel 2 jobs")
    await site.reaches(flow["jobs"]["third"], "cancelled")
    await expect(page.locator("tr", has_text="third")).to_contain_text("cancelled")


async def test_an_operation_changes_its_pace_and_is_stopped(site: Site, page: Page) -> None:
    await site.call("POST", "/v1/jobs/batch", {"jobs": [LATER | {"tags": ["slow"]}] * 20})
    sent = {"action": "cancel", "filter": {"tag": "slow"}, "rate": 0.5, "name": "slowly"}
    operation = await site.call("POST", "/v1/operations", sent)
    await page.goto(f"{site.url}/operations/{operation['id']}")
    await page.get_by_role("button", name="Change pace…").click()
    await page.get_by_role("dialog").get_by_label("Pace, jobs a second").fill("1")
    await page.get_by_role("dialog").get_by_role("button", name="Change the pace").click()
    await expect(page.locator(".operation")).to_contain_text("1/s")
    await presses(page, "Stop…", dialog="Stop the operation")
    await expect(page.locator(".operation .state").first).to_contain_text("stopped")


async def test_keys_and_users_are_made_changed_and_ended_and_the_audit_tells_who_did_it(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}/keys")
    await page.get_by_label("Name").fill("shop")
    await page.get_by_role("checkbox", name=re.compile("^enqueue")).check()
    await presses(page, "Make the key")
    key = await page.get_by_label("The key", exact=True).locator("xpath=descendant-or-self::pre").text_content()
    assert key is not None
    assert key.startswith("plk_")
    await page.get_by_role("link", name="I have saved it").click()
    await presses(page, "Rotate…", dialog="Rotate the key")
    await page.get_by_role("link", name="I have saved it").click()
    await presses(page, "Revoke…", dialog="Revoke the key")
    await says(page, "The key shop is revoked.")
    await page.goto(f"{site.url}/users")
    await page.get_by_label("Name").fill("ann")
    await page.get_by_label("Role").select_option("viewer")
    await page.get_by_role("textbox", name="Password").fill("a long password")
    await presses(page, "Add the user")
    await says(page, "ann is added as viewer.")
    await page.get_by_role("button", name="Change…").click()
    await page.get_by_role("dialog").get_by_label("Role").select_option("operator")
    await page.get_by_role("dialog").get_by_role("button", name="Set").first.click()
    await says(page, "ann is operator from now on.")
    await presses(page, "Disable")
    await says(page, "ann can no longer sign in.")
    await presses(page, "Enable")
    await says(page, "ann can sign in again.")
    await page.goto(f"{site.url}/audit?target=ann")
    await expect(page.locator("details.audit").first).to_contain_text("enable")


async def test_an_app_is_forgotten(site: Site, page: Page) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    await site.call("PUT", "/v1/apps/shop", {"url": "http://127.0.0.1:9/", "secret": secret})
    await page.goto(f"{site.url}/apps")
    await presses(page, "Forget…", dialog="Forget the app")
    await says(page, "The app shop is forgotten.")
    assert (await site.call("GET", "/v1/apps"))["apps"] == []


_ENDS = ("/postlude/docs", "/postlude/audit")


def _sorts(address: str) -> set[str]:
    """Return the visible parts of an address: its path without ids, and each of its parameters."""
    parts = urlsplit(address)
    path = _ID.sub("*", parts.path)
    return {path, *(f"{path}?{name}" for name in parse_qs(parts.query))}


async def test_every_address_is_below_the_path_and_every_link_leads_somewhere(site: Site) -> None:
    """Follow the links of all pages, one of each sort. The audit names what may be gone by now, others for a second."""
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in site.session["cookies"])

    async def get(path: str) -> httpx.Response:
        return await site.api.get(path, headers={"Accept": "text/html", "Cookie": cookies})

    found, followed, outside, broken = [("/postlude/", "/postlude/")], set[str](), set[str](), set[str]()
    while found:
        path, source = found.pop()
        answer = await get(path)
        if answer.status_code >= 400 and path in unescape((await get(source)).text):
            broken.add(f"{path}: {answer.status_code}, linked from {source}")
        if "text/html" not in answer.headers.get("content-type", "") or path.startswith(_ENDS):
            continue
        outside |= {
            f"{path}: {one}" for one in _ADDRESS.findall(answer.text) if not one.startswith(("/postlude/", "#"))
        }
        for address in map(unescape, _LINK.findall(answer.text)):
            if address.startswith("/postlude/") and not _sorts(address) <= followed:
                followed |= _sorts(address)
                found.append((address, path))
    assert (outside, broken) == (set(), set())
    assert len(followed) > 60


async def test_a_worker_is_drained(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}/workers")
    await presses(page, "Drain…", dialog="Drain the worker")
    await says(page, "takes no new jobs.")

    async def drains() -> bool:
        found = await site.call(
            "GET", f"/v1/workers/{quote((await site.call('GET', '/v1/workers'))['workers'][0]['id'])}"
        )
        return bool(found["state"] == "draining")

    await eventually(drains)
    await expect(page.locator("main tbody tr").first).to_contain_text("draining")
