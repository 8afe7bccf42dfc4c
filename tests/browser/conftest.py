"""One browser for a module, and a page for a test, on which nothing may go wrong unseen."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
import structlog
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import HOW, browsing, find_chromium
from tests.browser.site import Site
from tests.browser.watching import NewPage, Watch

# A quiet page looks for news each six seconds; and the machine may be busy.
expect.set_options(timeout=20_000)


@pytest.fixture(autouse=True)
def loggers_are_asked_anew() -> None:
    """Leave the log as it is between tests: the product runs for all of a module."""


@pytest.fixture(scope="module", autouse=True)
def log_stays_configured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        configure = structlog.configure
        uncached = {"cache_logger_on_first_use": False}
        patch.setattr(structlog, "configure", lambda **options: configure(**options | uncached))
        yield
    structlog.reset_defaults()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    if (path := find_chromium()) is None:
        pytest.skip(HOW)
    async with browsing(path) as browser:
        yield browser


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest_asyncio.fixture(loop_scope="module")
async def new_page(chromium: Browser, site: Site, watch: Watch) -> AsyncIterator[NewPage]:
    """Open pages of the site, signed in as an admin by default; fails if anything went wrong on one."""
    async with AsyncExitStack() as stack:

        async def open_page(**options: Any) -> Page:
            chosen = {"storage_state": site.session, "base_url": site.url, "reduced_motion": "reduce"} | options
            context = await chromium.new_context(**chosen)
            stack.push_async_callback(context.close)
            context.set_default_timeout(15_000)
            await watch.over(context)
            return await context.new_page()

        yield open_page
        for context in chromium.contexts:
            for page in context.pages:
                await watch.look(page)
    assert watch.wrong == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(new_page: NewPage) -> Page:
    return await new_page()
