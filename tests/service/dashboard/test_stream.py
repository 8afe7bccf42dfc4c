"""The stream of ticks, as an open page reads it."""

import asyncio

import httpx
import pytest

from service.dashboard.state import DashboardState
from service.dashboard.stream import _ticks
from service.web.places import Places


async def test_a_page_gets_ticks_until_the_service_stops(browser: httpx.AsyncClient) -> None:
    state: DashboardState = browser._transport.app.state.dashboard  # type: ignore[attr-defined]
    ticks = _ticks(state.pulse, "ann")
    assert (await anext(ticks)).startswith(b"event: tick\ndata: {")
    state.pulse.dismiss()
    assert [one async for one in ticks] == []
    head = await browser.head("/stream")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert head.headers["cache-control"] == "no-store"


async def test_those_who_come_at_the_same_moment_find_no_more_room_than_there_is(browser: httpx.AsyncClient) -> None:
    state: DashboardState = browser._transport.app.state.dashboard  # type: ignore[attr-defined]
    state.pulse.places = Places(most=2, most_each=2)
    came = [_ticks(state.pulse, str(number)) for number in range(5)]  # each of them was let in
    first = await asyncio.gather(*[anext(one, None) for one in came])
    assert [one is not None for one in first] == [True, True, False, False, False]
    assert (await browser.get("/stream", headers={"HX-Request": "true"})).status_code == 503
    for one in came:
        await one.aclose()  # type: ignore[attr-defined]
    state.pulse.places.check("ann")


async def test_one_caller_does_not_take_the_places_of_all(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who comes second gets the next tick, which is seconds away by default while nothing changes.
    monkeypatch.setattr("service.dashboard.pulse._LOOK_EVERY_S", 0.01)
    state: DashboardState = browser._transport.app.state.dashboard  # type: ignore[attr-defined]
    state.pulse.places = Places(most=200, most_each=2)
    came = [_ticks(state.pulse, "127.0.0.1") for _ in range(3)]
    assert [await anext(one, None) is not None for one in came] == [True, True, False]
    refused = await browser.get("/stream", headers={"HX-Request": "true"})
    assert (refused.status_code, "as many as one caller may" in refused.text) == (503, True)
    others = _ticks(state.pulse, "user:bob")
    assert await anext(others, None) is not None
    for one in (*came, others):
        await one.aclose()  # type: ignore[attr-defined]
    state.pulse.places.check("127.0.0.1")
