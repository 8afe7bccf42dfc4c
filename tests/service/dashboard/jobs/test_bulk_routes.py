"""Actions on many jobs: counted first, typed above 100, and carried out by an operation that the toast leads to."""

from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from service.dashboard.jobs import bulk_routes
from service.ledger.ledger import Ledger
from service.ledger.states import State
from tests.service.api.driving import job_in, post
from tests.service.dashboard.pages import act, html
from tests.support.html import Html


async def operation(browser: httpx.AsyncClient) -> dict[str, object]:
    [latest] = (await browser.get("/v1/operations?limit=1")).json()["operations"]
    return dict(latest)


def hidden(page: Html) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in page.all("input", type="hidden")}


async def test_a_selection_is_asked_for_and_replayed(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    failed = [(await job_in(browser, ledger, State.FAILED))["id"] for _ in range(2)]
    waits = (await post(browser))["id"]
    page = await html(browser, "/jobs/bulk", action="replay", id=[*failed, waits])
    assert page.one("h1").words == "Replay 2 jobs?"
    form = hidden(page)
    assert from_json(form["filter"]) == {"state": ["failed", "cancelled"], "ids": [*failed, waits]}
    toast = await act(browser, "/jobs/bulk", **form, rate="50", name="after the fix")
    assert toast == "Replaying 2 jobs. Watch it"
    started = await operation(browser)
    assert (started["action"], started["rate"], started["name"]) == ("replay", 50, "after the fix")
    [noted] = (await browser.get("/v1/audit", params={"action": "start"})).json()["actions"]
    assert noted["target"] == started["id"]


async def test_a_whole_filter_is_acted_on_as_the_list_shows_it(browser: httpx.AsyncClient) -> None:
    await post(browser, subject="42")
    await post(browser, subject="43")
    page = await html(browser, "/jobs/bulk?args.subject=42&action=cancel")
    assert page.one("h1").words == "Cancel 1 job?"
    assert await act(browser, "/jobs/bulk", **hidden(page)) == "Cancelling 1 job. Watch it"
    sent = (await operation(browser))["filter"]
    assert isinstance(sent, dict)
    assert sent["args"] == {"subject": ["42", 42]}


async def test_a_change_says_what_it_sets(browser: httpx.AsyncClient) -> None:
    await post(browser)
    form = hidden(await html(browser, "/jobs/bulk", action="change", state="queued"))
    assert "fill in" in await act(browser, "/jobs/bulk", status=422, **form)
    await act(browser, "/jobs/bulk", **form, priority="5", tags="a, b", lane="")
    assert (await operation(browser))["change"] == {"priority": 5, "tags": ["a", "b"]}


async def test_nothing_is_done_to_nobody_or_to_all(browser: httpx.AsyncClient) -> None:
    await post(browser)
    toast = await browser.get("/jobs/bulk?action=replay&state=queued", headers={"hx-request": "true"})
    assert "None of them has failed" in toast.text
    assert "Select or filter jobs" in (await browser.get("/jobs/bulk?action=delete")).text
    assert (await browser.get("/v1/operations")).json()["operations"] == []


async def test_a_large_number_is_typed(browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_routes, "TYPED_ABOVE", 1)
    await post(browser)
    await post(browser)
    page = await html(browser, "/jobs/bulk", action="cancel", state="queued")
    assert page.one("input", name="confirm")["data-confirm"] == "2"
    form = hidden(page)
    assert "type the number" in await act(browser, "/jobs/bulk", status=422, **form)
    assert "type the number" in await act(browser, "/jobs/bulk", status=422, **form, confirm="3")
    assert await act(browser, "/jobs/bulk", **form, confirm=" 2 ") == "Cancelling 2 jobs. Watch it"
    assert "open it again" in await act(browser, "/jobs/bulk", status=422, **form | {"filter": "{}"}, confirm="2")
    assert "open it again" in await act(browser, "/jobs/bulk", status=422, **form | {"count": "9" * 5_000})
