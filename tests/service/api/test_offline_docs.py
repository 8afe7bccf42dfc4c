"""`/docs` and `/redoc` load nothing from elsewhere: they work offline, and tell nobody who reads them."""

import asyncio
import re
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from service.settings import Settings
from tests.browser.chromium import HOW, find_chromium
from tests.service.api.driving import assert_problem
from tests.support.apps import made_app
from tests.support.running import running_api

PAGES = ["/docs", "/redoc"]
CHROMIUM = find_chromium()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
async def test_everything_that_the_page_loads_is_served_here_below_the_root_path(
    tmp_path: Path, page: str, root: str
) -> None:
    transport = httpx.ASGITransport(made_app(Settings(data_dir=tmp_path)), root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url="http://postlude") as browser:
        shown = await browser.get(f"{root}{page}")
        assert shown.status_code == 200
        loaded = re.findall(r"""(?:src|href|spec-url|url)["']?\s*[=:]\s*["']([^"']+)["']""", shown.text)
        assert len(loaded) >= 3
        for address in loaded:
            assert urljoin("http://postlude/", address).startswith(f"http://postlude{root}/"), address
            assert (await browser.get(address)).status_code == 200, address


@pytest.mark.parametrize("page", PAGES)
async def test_browser_is_told_to_load_nothing_from_elsewhere(tmp_path: Path, page: str) -> None:
    transport = httpx.ASGITransport(made_app(Settings(data_dir=tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://postlude") as browser:
        policy = (await browser.get(page)).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["nothing.js", "", "%00", "..%2f__init__.py", "%2fetc%2fpasswd", "x" * 5_000])
async def test_unknown_asset_is_404(tmp_path: Path, path: str) -> None:
    transport = httpx.ASGITransport(made_app(Settings(data_dir=tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://postlude") as browser:
        assert_problem(await browser.get(f"/docs/assets/{path}"), 404)


@pytest.mark.skipif(CHROMIUM is None, reason=HOW)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("page", PAGES)
async def test_page_shows_the_calls_in_a_browser_that_reaches_this_machine_alone(
    settings: Settings, page: str, tmp_path: Path
) -> None:
    async with running_api(settings) as client:
        dom, hosts = await _opened(f"{client.base_url}{page}", tmp_path)
    assert "/v1/jobs" in dom
    assert hosts == {"127.0.0.1"}


async def _opened(url: str, folder: Path) -> tuple[str, set[str]]:
    """Open a page in a browser; return what it shows, and the hosts that it has asked."""
    log = folder / "net.json"
    command = [CHROMIUM or "", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--log-net-log={log}"]
    command += ["--virtual-time-budget=30000", "--dump-dom", url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90, check=False)
    # Requests that the browser sends to its vendor are not the page's.
    hosts = set(re.findall(r'"url":"https?://([^/":]+)', log.read_text()))
    return done.stdout, {host for host in hosts if not host.endswith(("google.com", "googleapis.com", "gvt1.com"))}
