"""Signing in and out, and what a viewer finds: everything to look at, and nothing that acts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.accessible import serious_findings
from tests.browser.site import Site, running_site, sign_in
from tests.browser.watching import NewPage, Watch
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse battery"
LOOKED_AT = (
    "/",
    "/jobs",
    "/failures",
    "/operations",
    "/schedules",
    "/flows",
    "/lanes",
    "/kinds",
    "/workers",
    "/queues",
)
# What acts: forms that post, and buttons that ask before they do.
_ACTS = (
    "main form[method=post]:not([action$='sign-out']) button:not([aria-disabled=true]),"
    " main [data-open]:not([data-open=keys]), main [data-selection] button"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("sign-in")
    async with running_site(folder, sqlite_template, redis_server) as site:
        site.session = await sign_in(chromium, site)
        yield site


async def enters(page: Page, name: str, password: str) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_a_viewer_signs_in_finds_nothing_that_acts_and_signs_out(
    site: Site, page: Page, new_page: NewPage, watch: Watch
) -> None:
    await page.goto("/users")
    await page.get_by_label("Name").fill("vera")
    await page.get_by_label("Role").select_option("viewer")
    await page.locator("#password").fill(PASSWORD)
    await page.get_by_role("button", name="Add the user").click()
    await expect(page.locator(".toast")).to_contain_text("vera is added as viewer.")
    job_id = await site.enqueue("pack_order", {"customer": "Ann"}, delay=3600, lane="tenant:7")
    viewer = await new_page(storage_state=None)
    await viewer.goto("/jobs")
    await expect(viewer.get_by_role("heading", name="Sign in")).to_be_visible()
    assert await serious_findings(viewer) == []
    with watch.expecting("status of 401"):
        await enters(viewer, "vera", "a wrong password")
        await expect(viewer.get_by_role("alert")).to_be_visible()
    await enters(viewer, "vera", PASSWORD)
    await expect(viewer).to_have_url(f"{site.url}/jobs")
    for path in (*LOOKED_AT, f"/jobs/{job_id}", "/lanes/tenant%3A7", "/kinds/pack_order"):
        await viewer.goto(path)
        assert await viewer.locator(_ACTS).count() == 0, path
    await expect(viewer.locator("#sections")).not_to_contain_text("Audit")
    await viewer.locator("details.who summary").click()
    await viewer.get_by_role("button", name="Sign out").click()
    await expect(viewer.get_by_role("heading", name="Sign in")).to_be_visible()
    await viewer.goto("/jobs")
    await expect(viewer.get_by_role("heading", name="Sign in")).to_be_visible()
