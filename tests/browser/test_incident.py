"""The exercise: a receiver goes down. The person on call finds it, sees why, and fixes it, using only the browser.

`make test` does it with 300 jobs, `make faults` with 5,000.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.outage import SLOTS, WITHOUT_RETRY, Hooks, goes_down, open_hooks
from tests.browser.site import Site, running_site, sign_in
from tests.faults.form import WHOLE
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
JOBS = 5000 if WHOLE else 300
PACE = 200
PATIENCE_MS = 600_000 if WHOLE else 30_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hooks() -> AsyncIterator[Hooks]:
    async with open_hooks() as hooks:
        yield hooks


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("incident")
    async with running_site(folder, sqlite_template, redis_server, max_jobs=SLOTS) as site:
        site.session = await sign_in(chromium, site)
        yield site


async def finds_it(page: Page, lane: str) -> None:
    """Open the overview: its headline says what does not go out, why, and what to do."""
    await page.goto("/")
    headline = page.get_by_role("heading", level=1)
    await expect(headline).to_have_text(f"Webhooks to {lane.removeprefix('host:')} are not going out.")
    banner = page.locator("#worst")
    await expect(banner).to_contain_text(f"{WITHOUT_RETRY} jobs failed before the breaker opened, and can be replayed.")
    await expect(banner).to_contain_text("Tell the people who run the receiver. Nothing in Postlude needs fixing")
    await banner.get_by_role("link", name="Open the lane").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(lane)


async def resumes(page: Page, lane: str) -> None:
    await expect(page.locator(".answer")).to_contain_text("It is held by its breaker")
    await page.get_by_role("button", name="Resume…").click()
    await page.get_by_role("button", name="Resume the lane").click()
    await expect(page.locator("#toasts")).to_contain_text(f"{lane} goes on.")
    await expect(page.locator(".answer")).to_contain_text("It is ready. 0 jobs run, 0 wait.", timeout=PATIENCE_MS)


async def replays(page: Page) -> None:
    """Replay the group of failures at a pace, under a name, and watch it to its end."""
    await page.keyboard.press("g")
    await page.keyboard.press("f")
    await page.get_by_role("button", name="Replay…").or_(page.get_by_role("link", name="Replay…")).first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading")).to_have_text(f"Replay {WITHOUT_RETRY} jobs?")
    go = dialog.get_by_role("button", name=f"Replay {WITHOUT_RETRY} jobs")
    await expect(go).to_be_disabled()
    await dialog.get_by_label("Pace, jobs a second").fill(str(PACE))
    await dialog.get_by_label("Name").fill("after the outage")
    await dialog.get_by_label("To confirm, type the number of jobs").fill(str(WITHOUT_RETRY))
    await go.click()
    await page.locator("#toasts").get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("after the outage")
    card = page.locator(".operation")
    succeeded = card.locator("div", has=page.get_by_text("Succeeded since")).last
    await expect(succeeded).to_have_text(re.compile(rf"Succeeded since\s*{WITHOUT_RETRY}$"), timeout=PATIENCE_MS)
    await expect(card).to_contain_text("succeeded")


async def all_are_accounted_for(page: Page) -> None:
    await page.goto("/jobs?state=succeeded&kind=send_webhook")
    await expect(page.locator(".answer")).to_contain_text(f"{JOBS:,} jobs match")
    await page.goto("/jobs?state=failed")
    await expect(page.locator("main")).to_contain_text("No jobs match")


@pytest.mark.short
async def test_an_outage_is_found_understood_and_mended_with_the_browser_alone(
    site: Site, page: Page, hooks: Hooks
) -> None:
    lane = f"host:127.0.0.1:{hooks.port}"
    await goes_down(site, hooks, JOBS)
    await finds_it(page, lane)
    hooks.is_up = True
    await resumes(page, lane)
    await replays(page)
    await all_are_accounted_for(page)
    assert set(hooks.accepted) == set(range(JOBS))
