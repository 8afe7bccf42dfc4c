"""The browser: Chromium of this machine, driven by Playwright, which brings none of its own here."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

HOW = "no Chromium is here: install it (Debian: apt-get install chromium-headless-shell), or name one in CHROMIUM"
# The shell comes first: the others start a whole browser, whose own windows nobody sees.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SWITCHES = (
    "--no-sandbox",  # it needs privileges that containers lack, and these pages are our own
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--renderer-process-limit=1",  # else each page of a window gets a process, in which its scripts are compiled anew
    "--js-flags=--no-opt,--no-maglev",  # no page lives long enough to pay for optimized code
)


def find_chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@asynccontextmanager
async def browsing(path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_SWITCHES)
        yield browser
        await browser.close()
