"""Jobs, with hands on them: what their pages do, by mouse and by keyboard, and how the pages follow what changes."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Download, Page, expect

from tests.browser.kinds import released
from tests.browser.site import Site, running_site, sign_in
from tests.browser.watching import NewPage, Watch
from tests.support.running import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDER = {"customer": "Ann", "note": "fragile"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    released.clear()
    folder = tmp_path_factory.mktemp("jobs")
    async with running_site(folder, sqlite_template, redis_server) as site:
        site.session = await sign_in(chromium, site)
        yield site
        released.set()


async def later(site: Site, count: int, tag: str) -> list[str]:
    """Enqueue jobs that come due in an hour; return their ids."""
    one = {"kind": "pack_order", "args": ORDER, "delay": 3600, "tags": [tag]}
    made = await site.call("POST", "/v1/jobs/batch", {"jobs": [one] * count})
    return [job["id"] for job in made["jobs"]]


async def says(page: Page, words: str) -> None:
    """Wait for a toast, and close it."""
    toast = page.locator(".toast", has_text=words)
    await expect(toast).to_be_visible()
    await toast.get_by_role("button", name="Close").click()
    await expect(toast).to_have_count(0)


async def saved(download: Download) -> list[str]:
    return Path(await download.path()).read_text().splitlines()


async def test_a_failed_job_is_replayed_as_it_is_and_with_other_args(site: Site, page: Page, watch: Watch) -> None:
    job_id = await site.enqueue("stumble", {"message": "the first reason"})
    await site.reaches(job_id, "failed")
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("h1")).to_contain_text("failed")
    await page.keyboard.press("r")
    await says(page, "runs again")
    await site.reaches(job_id, "failed")
    await page.get_by_role("button", name="Replay with edited args…").click()
    with watch.expecting("status of 400"):
        await page.get_by_role("textbox", name="Args").fill('{"message": ')
        await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        await says(page, "Nothing was changed")
    await page.get_by_role("button", name="Replay with edited args…").click()
    await expect(page.get_by_role("textbox", name="Args")).to_have_value('{"message": ')
    await page.get_by_role("textbox", name="Args").fill('{"message": "the second reason"}')
    await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    await says(page, "runs again")
    await expect(page.locator(".answer")).to_contain_text("the second reason")


async def test_a_job_to_come_is_changed_run_now_and_cancelled(site: Site, page: Page) -> None:
    first, second = await later(site, 2, "change")
    await page.goto(f"/jobs/{first}")
    await page.get_by_role("button", name="Change…").click()
    await page.get_by_label("Priority").fill("7")
    await page.get_by_label("Tags").fill("change, vip")
    await page.get_by_role("button", name="Change", exact=True).click()
    await says(page, "changed")
    job = await site.call("GET", f"/v1/jobs/{first}")
    assert (job["priority"], job["tags"]) == (7, ["change", "vip"])
    await page.keyboard.press("u")
    await expect(page.locator("h1")).to_contain_text("succeeded")
    await page.goto(f"/jobs/{second}")
    await page.keyboard.press("c")
    await expect(page.locator("h1")).to_contain_text("cancelled")


async def test_a_running_job_shows_its_stack_and_its_log_and_ends_before_ones_eyes(site: Site, page: Page) -> None:
    job_id = await site.enqueue("hold_on", {"note": "still here"})
    await site.reaches(job_id, "running")
    await page.goto(f"/jobs/{job_id}")
    await expect(page.locator("main")).to_contain_text("310 of 500")
    await page.get_by_role("button", name="Show the current stack").click()
    await expect(page.get_by_label("Stack of the running attempt")).to_contain_text("hold_on")
    released.set()
    await expect(page.locator("h1")).to_contain_text("succeeded")

    async def is_kept() -> bool:
        lines = (await site.call("GET", f"/v1/jobs/{job_id}/log"))["lines"]
        return "still here" in [line["text"] for line in lines]

    await eventually(is_kept)


async def test_ids_and_curl_are_copied_and_one_like_this_is_started(site: Site, new_page: NewPage) -> None:
    page = await new_page(permissions=["clipboard-read", "clipboard-write"])
    job_id = await site.enqueue("pack_order", ORDER)
    await site.reaches(job_id, "succeeded")
    await page.goto(f"/jobs/{job_id}")
    await page.get_by_role("button", name="Copy as curl").click()
    # The button says so for two seconds, or until the page is live again.
    await page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('curl'))")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert '"customer": "Ann"' in copied or '"customer":"Ann"' in copied
    await page.keyboard.press("y")
    await page.wait_for_function("id => navigator.clipboard.readText().then((text) => text === id)", arg=job_id)
    await page.get_by_role("link", name="Start one like this").click()
    await expect(page.get_by_label("customer")).to_have_value("Ann")
    await page.get_by_label("customer").fill("Bob")
    await page.get_by_role("button", name="Enqueue the job").click()
    await expect(page).to_have_url(re.compile("/jobs/"))
    await expect(page.get_by_label("Args as JSON")).to_contain_text('"Bob"')


async def test_selected_jobs_and_a_whole_filter_are_cancelled_and_exported(site: Site, page: Page) -> None:
    await later(site, 130, "many")
    await page.goto("/jobs?tag=many")
    async with page.expect_download() as download:
        await page.get_by_text("Export").click()
        await page.get_by_role("link", name="CSV, all that match").click()
    assert len(await saved(await download.value)) == 131
    async with page.expect_download() as download:
        await page.get_by_text("Export").click()
        await page.get_by_role("link", name="JSON lines, all that match").click()
    assert {json.loads(line)["tags"][0] for line in await saved(await download.value)} == {"many"}
    boxes = page.get_by_role("checkbox", name=re.compile("Select job"))
    await boxes.nth(0).click()
    await boxes.nth(2).click(modifiers=["Shift"])
    bar = page.get_by_role("region", name="Selection")
    await expect(bar).to_contain_text("3 selected")
    await expect(bar.get_by_role("button", name="Replay")).to_have_attribute("aria-disabled", "true")
    await bar.get_by_role("button", name="Cancel…").click()
    await expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("Cancel 3 jobs?")
    await page.get_by_role("button", name="Cancel 3 jobs").click()
    await says(page, "Cancel")
    await page.goto("/jobs?tag=many&state=cancelled")
    await expect(page.locator("tbody tr")).to_have_count(3)
    await page.goto("/jobs?tag=many&state=scheduled")
    await boxes.nth(0).click()
    await page.get_by_role("link", name="Select all 127 that match").click()
    await bar.get_by_role("button", name="Cancel…").click()
    go = page.get_by_role("button", name="Cancel 127 jobs")
    await page.get_by_label("To confirm, type the number of jobs").fill("126")
    await expect(go).to_be_disabled()
    await page.get_by_label("To confirm, type the number of jobs").fill("127")
    await page.get_by_label("Name").fill("tidy up")
    await go.click()
    await page.locator("#toasts").get_by_role("link").click()
    await expect(page.locator("main")).to_contain_text("127 of 127")
    await expect(page.locator("h1")).to_contain_text("tidy up")


async def arrive(page: Page, url: str | re.Pattern[str]) -> None:
    """Wait until another page is there with its scripts, which hear keys."""
    await expect(page).to_have_url(url)
    await page.wait_for_load_state()


async def test_jobs_are_found_by_filters_and_by_search(site: Site, page: Page) -> None:
    job_id = await site.enqueue("pack_order", {"customer": "Zoe Needle"}, tags=["find"], metadata={"tenant": {"id": 7}})
    await later(site, 1, "find")
    await page.goto("/jobs?tag=find")
    await page.get_by_text("Filter", exact=True).click()
    await page.get_by_role("link", name="args", exact=False).first.click()
    await page.get_by_label("Path").fill("customer")
    await page.get_by_label("is", exact=True).fill("Zoe Needle")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator(f"#job-{job_id}")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name=re.compile("Remove the filter .*Zoe")).click()
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.locator("nav.states a.is-scheduled").click()
    await arrive(page, re.compile("state=scheduled"))
    await page.keyboard.press("/")
    await page.keyboard.type("zoe needle\n")
    await arrive(page, re.compile("/jobs\\?q="))
    await expect(page.locator(f"#job-{job_id}")).to_be_visible()
    await page.keyboard.press("/")
    await page.keyboard.type(f"{job_id}\n")
    await expect(page).to_have_url(re.compile(f"/jobs/{job_id}"))


async def test_all_is_done_by_keyboard(site: Site, page: Page) -> None:
    await later(site, 60, "keys")
    await page.goto("/jobs?tag=keys")
    rows = page.locator("tbody tr")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    await expect(rows.nth(0).locator("a.cell-main")).to_be_focused()
    await page.keyboard.press("x")
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("Shift+X")
    await expect(page.get_by_role("region", name="Selection")).to_contain_text("3 selected")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("region", name="Selection")).to_be_hidden()
    await page.keyboard.press("n")
    await arrive(page, re.compile("cursor="))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await arrive(page, re.compile(r"/jobs/[0-9a-f-]{36}"))
    for letter, path in (("l", "/lanes"), ("k", "/kinds"), ("q", "/queues"), ("a", "/audit"), ("o", "/")):
        await page.keyboard.press("g")
        await page.keyboard.press(letter)
        await arrive(page, site.url + path)
    await page.keyboard.press("?")
    await expect(page.locator("#keys")).to_be_visible()
    await page.get_by_label("Use these single-key shortcuts").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.locator("#keys")).to_be_hidden()
