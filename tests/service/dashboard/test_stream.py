"""The stream of ticks, as an open page reads it."""

import asyncio

import httpx
import pytest

from service.dashboard.state import DashboardState
from service.dashboard.stream import _ticks


async def test_a_page_gets_ticks_until_the_service_stops(browser: httpx.AsyncClient) -> None:
    state: DashboardState = browser._transport.app.state.dashboard  # type: ignore[attr-defined]
    ticks = _ticks(state.pulse)
    assert (await anext(ticks)).startswith(b"event: tick\ndata: {")
    state.pulse.dismiss()
    assert [one async for one in ticks] == []
    head = await browser.head("/stream")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.headers["cache-control"] == "no-store"


async def test_those_who_come_at_the_same_moment_find_no_more_room_than_there_is(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.dashboard.pulse.MAX_VIEWERS", 2)
    state: DashboardState = browser._transport.app.state.dashboard  # type: ignore[attr-defined]
    came = [_ticks(state.pulse) for _ in range(5)]  # each of them was let in
    first = await asyncio.gather(*[anext(one, None) for one in came])
    assert [one is not None for one in first] == [True, True, False, False, False]
    assert (await browser.get("/stream", headers={"HX-Request": "true"})).status_code == 503
    for one in came:
        await one.aclose()  # type: ignore[attr-defined]
    state.pulse.check_room()
