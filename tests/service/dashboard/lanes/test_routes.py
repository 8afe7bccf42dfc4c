"""The pages of lanes: they show what is held, full or paused, and every button does what it says."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from service.ledger.records.durations import bucket_of
from service.ledger.records.lane_figures import Starts, record_lane_starts
from service.ledger.records.lanes import Breaker, record_breakers
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking, words
from tests.support.writing import writing

pytestmark = on_sqlite
HOST = "host:hooks.example.com"
PATH = "/lanes/host%3Ahooks.example.com"


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def enqueue(browser: Browser, count: int, lane: Any) -> None:
    job = {"kind": "update_stats", "args": {"subject": "a", "event": "b"}, "lane": lane}
    await browser.call("POST", "/v1/jobs/batch", {"jobs": [job] * count})


async def hold(browser: Browser, key: str, step: int) -> None:
    """Open the breaker of a lane for another minute, for the `step`th time in a row."""
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    opened = Breaker(key, "open", now + timedelta(minutes=1), step, "connection refused")
    async with writing(browser.ledger.database) as connection:
        await connection.run_sync(record_breakers, [opened], now)


async def test_the_list_tells_what_is_held_paused_and_open_and_who_limits_it(browser: Browser) -> None:
    await browser.call("PUT", "/v1/lanes/host:*", {"concurrency": 10, "rate": {"limit": 50, "per": 1}})
    await enqueue(browser, 12, HOST)
    await enqueue(browser, 3, {"key": "tenant:7", "concurrency": 8})
    await enqueue(browser, 1, "tenant:<b>")
    await hold(browser, HOST, step=4)
    await browser.act("/lanes/tenant%3A7/pause")
    async with writing(browser.ledger.database) as connection:
        now = await browser.ledger.database.now(connection)
        await connection.run_sync(record_lane_starts, [Starts("tenant:7", bucket_of(now), "w", 1_234)])
    page = await browser.words("/lanes")
    assert "1 lane is held by its breaker, 1 is paused by hand. The other 1 is ready." in page
    assert f"{HOST} held by its breaker Connection refused. Its breaker lets one probe through at" in page
    assert "Waiting 12 jobs" in page
    assert "Once resumed 50/s" in page
    assert "Probes 3, all failed If the next one fails held 2 min 40 s more" in page
    assert f"{HOST} limits of host:* held until" in page
    assert "0 of 10 50 per 1 s 12" in page
    assert re.search(r"tenant:7 paused by anybody paused 0 of 8 no limit 3 \S+ \S+ 1,234 Resume", page)
    assert "tenant:<b> no limits ready" in page
    assert "Limits by pattern" in page
    narrow = await browser.words("/lanes?key=*hooks*")
    assert HOST in narrow
    assert "tenant:7" not in narrow
    assert "No lane matches nowhere:*" in await browser.words("/lanes?key=nowhere:*")


async def test_a_held_lane_goes_on_when_it_is_resumed_and_the_trail_says_who_did_it(browser: Browser) -> None:
    await enqueue(browser, 2, HOST)
    await hold(browser, HOST, step=1)
    assert "It is held by its breaker, and 2 jobs wait." in await browser.words(PATH)
    assert f"{HOST} goes on." in await browser.act(f"{PATH}/resume")
    lane = await browser.call("GET", f"/v1{PATH}")
    assert (lane["breaker"]["state"], lane["breaker"]["forced"]) == ("closed", None)
    page = await browser.words(PATH)
    assert "It is ready. 0 jobs run, 2 wait." in page
    assert "Last held until" in page
    assert ": connection refused" in page
    assert "anybody close breaker done" in page


async def test_a_lane_is_paused_for_a_while_or_for_good_and_its_breaker_forced(browser: Browser) -> None:
    await enqueue(browser, 1, HOST)
    assert f"{HOST} is paused until" in await browser.act(f"{PATH}/pause", **{"for": "300"})
    paused = await browser.call("GET", f"/v1{PATH}")
    assert paused["paused"] is True
    assert paused["paused_until"] is not None
    assert "is paused until it is resumed" in await browser.act(f"{PATH}/pause")
    assert "goes on" in await browser.act(f"{PATH}/resume")
    assert "is forced open" in await browser.act(f"{PATH}/breaker", state="open")
    assert "It is held by hand, and 1 job waits. Somebody forced its breaker open" in await browser.words(PATH)
    assert "Resume" not in await browser.page(PATH)
    page = await browser.page("/lanes")
    assert "1 lane is held by hand." in words(page)
    assert f"{HOST} held by hand" in words(page)
    assert "Resume" not in page
    assert page.count("Let its breaker decide") == 2
    assert "decides by itself again" in await browser.act(f"{PATH}/breaker", state="auto")
    assert "It is ready." in await browser.words(PATH)


async def test_limits_are_set_changed_and_forgotten_and_mistakes_stand_at_their_fields(browser: Browser) -> None:
    wrong = {"key": "kind:x", "concurrency": "0", "rate_limit": "x", "rate_per": "1"}
    answer = await browser.send("/limits", wrong)
    assert answer.status_code == 422
    for told in ("names a kind, not a lane", "greater than or equal to 1", "valid integer", "Fix 3 fields"):
        assert told in answer.text
    assert 'value="x"' in answer.text
    wanted = {"key": "tenant:*", "concurrency": "3", "rate_limit": "10", "rate_per": "2.5"}
    answer = await browser.send("/limits", wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/lanes/tenant%3A%2A")
    assert (await browser.call("GET", "/v1/lanes/tenant:*"))["rate"] == {"limit": 10, "per": 2.5}
    form = await browser.page("/limits?key=tenant:*")
    assert 'name="concurrency" type="number" value="3"' in form
    assert "At once 3 jobs Rate 10 per 2.5 s" in await browser.words("/lanes/tenant%3A*")
    assert "are deleted" in await browser.act("/lanes/tenant%3A*/forget")
    assert "Lane not found" in await browser.words("/lanes/tenant%3A*", status=404)


async def test_a_lane_that_is_not_there_is_a_page_that_says_so(browser: Browser) -> None:
    assert "no kept job was in it" in await browser.words("/lanes/tenant%3Anone", status=404)
