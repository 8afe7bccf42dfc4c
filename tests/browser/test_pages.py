"""Every page, over a ledger in which every text is a payload: it opens, is accessible, fits, and runs no payload."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize

from service.app import create_app
from service.web.page_route import PageRoute
from tests.browser.accessible import serious_findings
from tests.browser.filling import LANE, LONG_XSS, SCHEDULE, fill
from tests.browser.fitting import sticking_out
from tests.browser.kinds import released
from tests.browser.site import XSS, Site, running_site, sign_in
from tests.browser.watching import Watch
from tests.support.apps import routes_of
from tests.support.receiver import receiving
from tests.support.servers import RedisServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
LANE_PATH, SCHEDULE_PATH = (quote(name, safe="") for name in (LANE, SCHEDULE))
PAGES = {
    "overview": "/",
    "jobs": "/jobs",
    "jobs of a filter": f"/jobs?tag={quote(XSS)}&q={quote(XSS)}&state=failed&state=succeeded&add=args",
    "no jobs": f"/jobs?kind={quote(LONG_XSS)}",
    "all jobs of a filter": "/jobs?state=failed&all=1",
    "one more filter": "/jobs?add=time",
    "bulk": "/jobs/bulk?action=change&state=failed",
    **{
        f"{state} job": f"/jobs/{{{state}}}"
        for state in ("succeeded", "failed", "running", "retrying", "scheduled", "queued", "blocked", "cancelled")
    },
    "webhook that failed": "/jobs/{webhook}",
    "job of an app": "/jobs/{app}",
    "attempt": "/jobs/{failed}?attempt=1",
    "failures": "/failures",
    "failures of a filter": f"/failures?q={quote(XSS)}&kind={quote(XSS)}",
    "failure": "/failures/{fingerprint}",
    "replay of a failure": "/failures/{fingerprint}/replay",
    "operations": "/operations",
    "operation": "/operations/{operation}",
    "schedules": "/schedules",
    "schedule": f"/schedules/{SCHEDULE_PATH}",
    "schedule of code": "/schedules/cleanup",
    "new schedule": "/schedule-form",
    "change of a schedule": f"/schedule-form?name={SCHEDULE_PATH}",
    "flows": "/flows",
    "flow": "/flows/{flow}",
    "lanes": "/lanes?idle=true",
    "lanes of a pattern": f"/lanes?key={quote(XSS)}",
    "lane": f"/lanes/{LANE_PATH}",
    "lane that is held": f"/lanes/{quote('held:' + XSS, safe='')}",
    "limits": f"/limits?key={LANE_PATH}",
    "kinds": "/kinds",
    "kind": "/kinds/pack_order",
    "enqueue": "/kinds/pack_order/enqueue",
    "one like this": "/kinds/pack_order/enqueue?like={succeeded}",
    "enqueue a webhook": "/kinds/send_webhook/enqueue?like={webhook}",
    "workers": "/workers",
    "worker": "/workers/{worker}",
    "queues": "/queues",
    "mail": "/mail",
    "inbox": "/inbox",
    "apps": "/apps",
    "keys": "/keys",
    "users": "/users",
    "audit": "/audit",
    "audit log": "/audit-log",
    "audit log of a filter": f"/audit-log?actor={quote(XSS)}&target={quote(XSS)}&after=2026-01-01",
    "files": "/files",
    "audit of a filter": f"/audit?actor={quote(XSS)}&target={quote(XSS)}",
    "no such job": "/jobs/none",
    "no such page": f"/{quote(XSS, safe='')}",
}


def _window(width: int) -> ViewportSize:
    return {"width": width, "height": 800}


NARROW, PHONE, DESK = map(_window, (320, 390, 1280))
MISSING = {"no such job", "no such page"}
NOT_PAGES = {
    "/stream",  # server-sent events
    "/find",  # goes on to a job, or to the list
    "/jobs/filter",  # goes on to the list
    "/jobs/export.csv",
    "/jobs/export.jsonl",
    "/jobs/{job_id}/attempts/{number}",  # a part of a page
    "/files/{file_id}/content",
    "/audit-log/export",
    "/schedule-form/when",
    "/assets/{digest}/{name:path}",
    "/sign-in",  # see test_sign_in.py
    "/sign-in/oidc",
    "/sign-in/oidc/back",
    "/inbox/{mail_id}",  # only `postlude dev` keeps mails: see tests/service/mail
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    chromium: Browser, redis_server: RedisServer, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    async with (
        receiving() as receiver,
        running_site(folder, sqlite_template, redis_server, environment=XSS[:40], version=XSS) as site,
    ):
        await fill(site, receiver)
        site.session = await sign_in(chromium, site)
        yield site
        released.set()


async def test_every_page_of_the_dashboard_is_looked_at() -> None:
    routes = [route for route in routes_of(create_app().routes) if isinstance(route, PageRoute)]
    pages = {route.path for route in routes if "GET" in (route.methods or ())}
    assert "/jobs" in pages
    looked_at = [path.partition("?")[0] for path in PAGES.values()]
    patterns = {path: re.compile(re.sub(r"{\w+(:\w+)?}", "[^/]+", path) + "$") for path in pages - NOT_PAGES}
    assert [path for path, pattern in patterns.items() if not any(map(pattern.match, looked_at))] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(chromium: Browser, site: Site) -> AsyncIterator[tuple[Page, Watch]]:
    """One window for all pages: a new one for each would take longer than the page."""
    watch = Watch()
    context = await chromium.new_context(storage_state=site.session, base_url=site.url, reduced_motion="reduce")
    await watch.over(context)
    yield await context.new_page(), watch
    await context.close()


async def leave_the_last(page: Page, watch: Watch) -> None:
    """Go away from the page that was looked at before: it may ask for itself again, and miss what it missed then."""
    await page.goto("about:blank")
    watch.begin()


async def look_at(name: str, site: Site, page: Page, watch: Watch) -> None:
    """Open a page; fail when anything goes wrong on it."""
    is_missing = name in MISSING
    with watch.expecting("status of 404" if is_missing else "nothing is expected"):
        answer = await page.goto(PAGES[name].format(**site.ids))
        assert answer is not None
        assert answer.status == (404 if is_missing else 200)
        await page.wait_for_selector("#live.is-fine", state="attached")  # a phone has no room for it
        await watch.look(page)
    assert watch.wrong == []


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_opens_is_accessible_and_fits_and_no_payload_runs(
    name: str, site: Site, desk: tuple[Page, Watch]
) -> None:
    page, watch = desk
    await leave_the_last(page, watch)
    await page.set_viewport_size(DESK)
    await look_at(name, site, page, watch)
    assert await serious_findings(page) == []
    await page.set_viewport_size(NARROW)
    assert await sticking_out(page) == []
    assert watch.wrong == []


@pytest.mark.short("[jobs]")
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_accessible_in_the_dark_and_on_a_phone(name: str, site: Site, desk: tuple[Page, Watch]) -> None:
    page, watch = desk
    await leave_the_last(page, watch)
    await page.set_viewport_size(PHONE)
    await page.emulate_media(color_scheme="dark")
    await look_at(name, site, page, watch)
    assert await serious_findings(page) == []
    await page.set_viewport_size(DESK)
    assert await serious_findings(page, "color-contrast") == []
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size(PHONE)
    assert await serious_findings(page, "color-contrast") == []
