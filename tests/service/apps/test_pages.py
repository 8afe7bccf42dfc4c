"""The page of apps: who may be called back and whether their calls go out; an admin lets one be forgotten."""

from collections.abc import AsyncIterator

import pytest

from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking

pytestmark = on_sqlite
SECRET = "whsec_" + "YzRuNHJ5" * 4


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def test_apps_are_told_with_the_lane_of_their_calls_and_forgotten(browser: Browser) -> None:
    assert "None has yet." in await browser.words("/apps")
    for name in ("shop", "blog"):
        await browser.call("PUT", f"/v1/apps/{name}", {"url": f"http://127.0.0.1:9/{name}", "secret": SECRET})
    call = {"kind": "call_app", "args": {"app": "shop", "function": "shop.mail.send"}}
    await browser.call("POST", "/v1/jobs", call)
    page = await browser.words("/apps")
    assert "2 apps are registered" in page
    assert "shop http://127.0.0.1:9/shop called" in page
    assert SECRET not in await browser.page("/apps")
    await browser.call("POST", "/v1/lanes/app:shop/pause")
    assert "1 app is not called now: shop. Its calls wait, and cost nothing." in await browser.words("/apps")
    assert "The app shop is forgotten." in await browser.act("/apps/shop/delete")
    assert "shop" not in await browser.words("/apps")
    gone = await browser.send("/apps/shop/delete", {}, HX_Request="true")
    assert gone.status_code == 404
