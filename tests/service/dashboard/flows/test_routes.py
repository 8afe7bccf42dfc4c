"""The pages of flows: the state of each, what holds it up, and what can be done to it."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.access_tables import trail
from service.settings import Settings
from service.tables import jobs
from tests.service.dashboard.places import Browser, looking
from tests.support.writing import writing

STATS = {"subject": "s", "event": "e"}


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def make(browser: Browser, name: str, **after: list[str]) -> dict[str, Any]:
    """Make a flow of jobs by their names, each with what it waits for."""
    wanted = [{"name": job, "kind": "update_stats", "args": STATS, "after": parents} for job, parents in after.items()]
    made: dict[str, Any] = await browser.call("POST", "/v1/flows", {"name": name, "jobs": wanted})
    return made


async def stands(browser: Browser, job_id: str, **values: Any) -> None:
    async with writing(browser.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


async def states(browser: Browser, flow: dict[str, Any]) -> list[str]:
    async with browser.ledger.read() as connection:
        rows = await connection.execute(select(jobs.c.id, jobs.c.state).where(jobs.c.flow == flow["id"]))
        found = {row.id: row.state for row in rows}
    return [found[job_id] for job_id in flow["jobs"].values()]


async def test_a_flow_says_where_it_stands_and_is_drawn_with_links_to_its_jobs(browser: Browser) -> None:
    flow = await make(
        browser, "order <import>", fetch=[], thumbs=["fetch"], notify=["fetch"], report=["thumbs", "notify"]
    )
    ids = flow["jobs"]
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    running = {"state": "running", "progress_done": 310, "progress_total": 500, "started_at": now, "worker": "w"}
    await stands(browser, ids["fetch"], attempt=1, **running)
    path = f"/flows/{flow['id']}"
    said = await browser.words(path)
    assert "order <import> running" in said
    assert (
        "0 of 4 jobs have succeeded. fetch is running; thumbs is waiting for fetch, notify for fetch, and 1 more."
        in said
    )
    assert "fetch running · 62 %" in said
    assert "report blocked · waits for 2" in said
    assert "report blocked update_stats thumbs and notify" in said
    assert "310 of 500" in said
    html = await browser.page(path)
    assert html.count('class="edge waits"') == 4
    assert f'<a href="/jobs/{ids["report"]}" class="is-blocked">' in html
    listed = await browser.words("/flows")
    assert "1 of the 1 flow runs." in listed
    assert "0 of 4 succeeded" in listed
    await browser.page("/flows/none", status=404)


async def test_a_flow_is_cancelled_and_what_was_cancelled_is_replayed_and_both_are_on_the_trail(
    browser: Browser,
) -> None:
    flow = await make(browser, "f", a=[], b=["a"])
    path = f"/flows/{flow['id']}"
    assert "Cancel 2 jobs of this flow?" in await browser.page(path)
    assert "None of its jobs has failed" in await browser.page(path)
    assert "The flow is cancelled." in await browser.act(f"{path}/cancel")
    assert await states(browser, flow) == ["cancelled", "cancelled"]
    assert "All its jobs have ended" in await browser.page(path)
    assert ", replayed " not in await browser.words(path)
    assert "Its failed jobs run again." in await browser.act(f"{path}/replay")
    assert re.search(r"started (just now|\d+ s ago), replayed (just now|\d+ s ago) by ", await browser.words(path))
    assert await states(browser, flow) == ["queued", "blocked"]
    async with browser.ledger.read() as connection:
        rows = (await connection.execute(select(trail).order_by(trail.c.id))).mappings().all()
    assert [(row["action"], row["target_type"], row["target"], row["ending"]) for row in rows] == [
        (action, "flow", flow["id"], "done") for action in ("cancel", "replay")
    ]
    assert [json.loads(row["after"])["changed"] for row in rows] == [2, 2]
    assert (await browser.send("/flows/none/cancel", {}, HX_Request="true")).status_code == 404


async def test_a_flow_that_failed_says_why_and_what_it_took_along(browser: Browser) -> None:
    flow = await make(browser, "f", a=[], b=["a"])
    a, b = flow["jobs"].values()
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    ended = {"started_at": now - timedelta(seconds=9), "finished_at": now, "attempt": 1}
    await stands(browser, a, state="failed", error_type="E", error_message="HTTP 500", failures=5, **ended)
    await stands(browser, b, state="cancelled", error_type="ParentFailed", finished_at=now)
    said = await browser.words(f"/flows/{flow['id']}")
    assert (
        "1 failed, 0 of 2 jobs have succeeded. a failed: HTTP 500; 1 job was cancelled,"
        " because it needed one that failed." in said
    )
    assert "failed · 9 s" in said
    assert "No flow is running. 1 flow of those shown has failed." in await browser.words("/flows")


async def test_a_large_flow_is_not_drawn_but_listed_page_by_page(browser: Browser) -> None:
    flow = await make(browser, "large", **{f"job{number}": [] for number in range(201)})
    path = f"/flows/{flow['id']}"
    html = await browser.page(path)
    assert "201 jobs: too many to draw." in html
    assert html.count('<tr role="row" id="job-') == 200
    older = html.split("data-next")[0].rsplit('href="', 1)[1].split('"')[0]
    assert (await browser.page(older.replace("&amp;", "&"))).count('id="job-') == 1


async def test_no_flows_say_how_to_make_one(browser: Browser) -> None:
    assert "There are no flows." in await browser.words("/flows")
    await browser.page("/flows?cursor=broken", status=422)
