"""Pages follow what changes, and leave alone what somebody is busy with."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.site import Site, running_site, sign_in
from tests.browser.watching import Watch
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
LATER: dict[str, Any] = {"kind": "pack_order", "args": {"customer": "Ann"}, "delay": 3600}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("live")
    async with running_site(folder, sqlite_template, redis_server) as site:
        site.session = await sign_in(chromium, site)
        await site.call("POST", "/v1/jobs/batch", {"jobs": [LATER] * 3})
        yield site


async def test_cells_change_in_place_and_new_rows_wait_while_somebody_selects(site: Site, page: Page) -> None:
    await page.goto("/jobs")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(3)
    changing = await rows.nth(1).get_attribute("data-state")
    assert changing == "scheduled"
    second = (await rows.nth(1).get_attribute("id") or "").removeprefix("job-")
    box = rows.nth(0).get_by_role("checkbox")
    await box.check()
    await rows.nth(0).locator("a.cell-main").focus()
    await site.enqueue(**LATER)
    await site.call("POST", f"/v1/jobs/{second}/cancel")
    await expect(page.get_by_role("button", name="1 newer job")).to_be_visible()
    await expect(page.locator(f"#job-{second} .state")).to_have_text("cancelled")
    await expect(rows).to_have_count(3)
    await expect(box).to_be_checked()
    await expect(rows.nth(0).locator("a.cell-main")).to_be_focused()
    await page.keyboard.press("n")
    await expect(rows).to_have_count(3)
    await page.keyboard.press("Escape")
    await page.keyboard.press("n")
    await expect(rows).to_have_count(4)


async def test_what_is_typed_and_what_is_open_stays(site: Site, page: Page) -> None:
    job_id = await site.enqueue("stumble", {"message": "again", "again": 3600})
    await site.reaches(job_id, "retrying")
    await page.goto(f"/jobs/{job_id}")
    await page.get_by_role("button", name="Change…").click()
    await page.get_by_label("Tags").fill("half a wo")
    shown = await page.locator("#updated").text_content()
    await site.call("POST", f"/v1/jobs/{job_id}/run-now")
    await expect(page.locator("#updated")).not_to_have_text(shown or "")
    await expect(page.locator("details.attempt")).to_have_count(2)
    await expect(page.get_by_label("Tags")).to_have_value("half a wo")
    await expect(page.get_by_label("Tags")).to_be_focused()


async def test_a_stream_that_breaks_is_told_and_one_that_comes_back_too(site: Site, page: Page, watch: Watch) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    with watch.expecting("ERR_FAILED"):
        await page.route("**/stream", refuse)
        await page.goto("/jobs")
        note = page.locator("#stale")
        await expect(note).to_contain_text("Live updates have stopped. The page shows")
        await expect(page.locator("#live")).to_have_class("live is-off")
        await page.unroute("**/stream")
        await expect(note).to_be_hidden()
        await expect(page.locator("#live")).to_have_class("live is-fine")
    await page.keyboard.press("l")
    await expect(note).to_contain_text("You have stopped live updates.")
    await page.keyboard.press("l")
    await expect(note).to_be_hidden()


async def test_times_are_exact_on_demand_and_a_theme_is_kept(site: Site, page: Page) -> None:
    await page.goto("/jobs")
    moment = page.locator("tbody time").first
    exact = await moment.get_attribute("title") or "-"
    await expect(moment).not_to_have_text(exact)
    await page.keyboard.press("t")
    await expect(moment).to_have_text(exact)
    await page.keyboard.press("t")
    await expect(moment).not_to_have_text(exact)
    await page.locator("details.who summary").click()
    await page.get_by_role("button", name="Dark").click()
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


async def test_what_went_wrong_stays_and_the_rest_goes_by_itself(site: Site, page: Page, watch: Watch) -> None:
    job_id = await site.enqueue(**LATER)
    await page.clock.install()
    await page.goto(f"/jobs/{job_id}")
    await page.get_by_role("button", name="Change…").click()
    with watch.expecting("status of 422"):
        await page.get_by_label("Lane").fill("kind:reserved")
        await page.get_by_role("button", name="Change", exact=True).click()
        await expect(page.locator(".toast.is-wrong")).to_be_visible()
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await expect(page.locator(".toast.is-fine")).to_be_visible()
    await page.clock.run_for(7_000)
    await expect(page.locator(".toast.is-fine")).to_have_count(0)
    await expect(page.locator(".toast.is-wrong")).to_be_visible()
    await page.locator(".toast.is-wrong").get_by_role("button", name="Close").click()
    await expect(page.locator(".toast")).to_have_count(0)
