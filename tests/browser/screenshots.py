"""The pictures of the documents: the product in trouble, as a browser sees it. Run by `scripts/screenshots`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page, expect

from service.features import FEATURES
from service.ledger import migrate
from service.settings import Settings
from tests.browser.chromium import HOW, browsing, find_chromium
from tests.browser.outage import SLOTS, goes_down, open_hooks
from tests.browser.site import Site, running_site, sign_in
from tests.support.servers import RedisServer

IMAGES = Path(__file__).parents[2] / "docs" / "images"


async def main() -> None:
    if (path := find_chromium()) is None:
        sys.exit(f"error: {HOW}")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pl-") as name:
        folder, redis = Path(name), RedisServer(Path(name) / "redis")
        template, data = folder / "template.db", folder / "data"
        data.mkdir()
        url = f"sqlite+aiosqlite:///{template}"
        await migrate.upgrade(Settings(database_url=url, data_dir=folder), [one.schema for one in FEATURES])
        redis.start()
        try:
            await _draw(path, data, template, redis)
        finally:
            redis.stop()


async def _draw(path: str, data: Path, template: Path, redis: RedisServer) -> None:
    async with (
        open_hooks() as hooks,
        browsing(path) as browser,
        running_site(data, template, redis, max_jobs=SLOTS, environment="production", version="2026.11") as site,
    ):
        session = await sign_in(browser, site)
        await _work(site)
        await goes_down(site, hooks, 1_200)
        context = await browser.new_context(storage_state=session, base_url=site.url, reduced_motion="reduce")
        page = await context.new_page()
        await page.set_viewport_size({"width": 1280, "height": 1000})
        await page.goto("/")
        await expect(page.locator("h1")).to_contain_text("are not going out")
        await _keep(page, "overview")
        await page.goto("/lanes")
        await _keep(page, "lanes")
        await page.goto("/jobs?state=failed")
        await page.locator("tbody a.cell-main").first.click()
        await page.wait_for_selector("#machine")
        await _keep(page, "failed-job")
        await context.close()


async def _work(site: Site) -> None:
    one = {"kind": "pack_order", "args": {"customer": "Ann", "note": "fragile"}}
    await site.call(
        "POST", "/v1/jobs/batch", {"jobs": [one | {"lane": f"tenant:{number % 5}"} for number in range(400)]}
    )
    await site.call("POST", "/v1/jobs/batch", {"jobs": [one | {"delay": 3600, "lane": "tenant:2"}] * 40})


async def _keep(page: Page, name: str) -> None:
    await page.wait_for_selector("#live.is-fine")
    await page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
