"""The page of jobs: which there are and how many, page by page, whatever is in them, for everybody who may see them."""

from string import ascii_lowercase
from typing import Any
from urllib.parse import urlencode

import httpx

from service.dashboard.jobs import reading
from service.ledger.ledger import Ledger
from service.ledger.reads import estimates
from service.ledger.states import State
from service.settings import Settings
from tests.service.api.driving import job_in, post
from tests.service.dashboard.pages import html
from tests.support.browser import browsing
from tests.support.html import Html
from tests.support.keyed import BOOTSTRAP, bearer, closed, make_key

HOSTILE = "<script>alert(1)</script>\"'{{ 7*7 }}"


def rows(page: Html) -> list[str]:
    return [row["id"].removeprefix("job-") for row in page.all("tr") if "data-state" in row.attributes]


def states(page: Html) -> dict[str, str]:
    """Return the counters above the list."""
    counters = [one for one in page.all("a") if (one.attributes.get("class") or "").startswith("is-")]
    return {one["class"].removeprefix("is-"): one.words.lstrip(ascii_lowercase) for one in counters}


async def test_it_lists_counts_and_filters_jobs(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    by_state = {state: (await job_in(browser, ledger, state, tags=["t"]))["id"] for state in State}
    hostile = (await post(browser, subject=HOSTILE, tags=[HOSTILE], metadata={"m": HOSTILE}))["id"]
    page = await html(browser, "/jobs")
    assert rows(page) == [hostile, *reversed(by_state.values())]
    assert page.one("p", class_="answer").words == "9 jobs are in the ledger, newest first."
    assert states(page) == {state.value: "2" if state is State.QUEUED else "1" for state in State}
    assert HOSTILE in page.main
    assert "7*7" in page.main
    assert not [script for script in page.all("script") if not script["src"]]
    one = await html(browser, "/jobs", state="failed", tag="t")
    assert rows(one) == [by_state[State.FAILED]]
    assert "no luck" in one.main
    assert "1 job matches" in one.main
    assert [chip.words for chip in one.all("li", class_="chip")] == ["statefailed", "tagt"]
    assert rows(await html(browser, f"/jobs?{urlencode({'args.subject': HOSTILE})}")) == [hostile]
    none = await html(browser, "/jobs", kind="nobody's")
    assert "No jobs match" in none.main
    for address, told in (
        ("/jobs?state=sucess", "state Input should be "),
        ("/jobs?cursor=x", "Open the list from its beginning"),
    ):
        refused = await browser.get(address, headers={"accept": "text/html"})
        shown = Html(refused.text).main
        assert refused.status_code == 422
        assert told in shown
        assert not [one for one in ("`", "query", "next_cursor") if one in shown]


async def test_counters_follow_the_filter_and_say_so_if_they_cannot(
    browser: httpx.AsyncClient, ledger: Ledger, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reading, "ROWS", 3)
    for state in (State.FAILED, State.FAILED, State.SUCCEEDED, State.CANCELLED):
        await job_in(browser, ledger, state, tags=["t"])
    for _ in range(4):
        await post(browser, subject="another")
    mine = {state.value: "0" for state in State} | {"failed": "2", "succeeded": "1", "cancelled": "1"}
    for path in ("/jobs?tag=t", "/jobs?tag=t&state=failed", "/jobs?tag=t&state=running"):
        page = await html(browser, path)
        assert states(page) == mine, path
        assert page.one("nav", class_="states").words.startswith("any state4")
    assert "4 jobs match" in (await html(browser, "/jobs", tag="t")).main
    searched = await html(browser, "/jobs", tag="t", q="no luck", state="failed")
    assert states(searched) == mine
    assert "The counters ignore searches inside jobs." in searched.main
    few = await html(browser, "/jobs", tag="t", q="no luck")  # all that match are on the page, and counted there
    assert states(few) == {state.value: "2" if state is State.FAILED else "0" for state in State}
    assert "The counters ignore" not in few.main
    monkeypatch.setattr(estimates, "_MOST_READ", 3)
    many = await html(browser, "/jobs", kind="update_stats")
    assert states(many) == mine | dict.fromkeys(("queued", "succeeded"), "\N{EN DASH}")
    assert "A dash means there are too many to count with this filter." in many.main


async def test_it_goes_from_page_to_page_and_back(browser: httpx.AsyncClient, monkeypatch: Any) -> None:
    monkeypatch.setattr(reading, "ROWS", 3)
    made = [(await post(browser))["id"] for _ in range(8)][::-1]
    seen: list[list[str]] = []
    page = await html(browser, "/jobs", kind="update_stats")
    while True:
        seen.append(rows(page))
        [newer, older] = [link for link in page.all("a", class_="button") if link.words in ("Newer", "Older")]
        if "href" not in older.attributes:
            break
        page = await html(browser, older["href"])
    assert seen == [made[:3], made[3:6], made[6:]]
    assert "7–8 of 8" in page.main  # noqa: RUF001
    back = await html(browser, newer["href"])
    assert rows(back) == made[3:6]
    [newer] = [link for link in back.all("a", class_="button") if link.words == "Newer"]
    assert rows(await html(browser, newer["href"])) == made[:3]
    oldest = await html(browser, "/jobs", order="asc")
    assert rows(oldest) == made[::-1][:3]


async def test_one_more_filter_becomes_a_clean_address(browser: httpx.AsyncClient) -> None:
    page = await html(browser, "/jobs", state="failed", add="args")
    assert page.one("form", aria_label="Add a filter")["action"] == "/jobs/filter"
    assert {one["name"] for one in page.all("input", maxlength="255")} == {"path"}
    sent = {"state": "failed", "field": "args", "path": "user.id", "value": "42"}
    answer = await browser.get("/jobs/filter", params=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed&args.user.id=42")
    nothing = await browser.get("/jobs/filter", params={"q": "x", "field": "q", "value": ""})
    assert nothing.headers["location"] == "/jobs"


async def test_args_are_shown_and_searched_by_those_alone_who_may_see_them(settings: Settings) -> None:
    async with browsing(closed(settings)) as browser:
        browser.headers.update(bearer(BOOTSTRAP))
        job = (await post(browser, subject="visible", metadata={"m": "visible"}))["id"]
        assert "visible" in (await html(browser, "/jobs")).main
        browser.headers.update(bearer((await make_key(browser, "read", sees_args=False))["key"]))
        page = await html(browser, "/jobs")
        assert rows(page) == [job]
        assert not page.all("div", class_="selection"), "who may not operate is offered nothing"
        told = [(await browser.get(f"/jobs{path}")).text for path in ("", "/export.jsonl", "/export.csv", f"/{job}")]
        assert [job in text for text in told] == [True] * 4
        assert ["visible" in text for text in told] == [False] * 4
        for path in ("?q=visible", "/export.csv?args.subject=visible", "/bulk?action=replay&state=failed"):
            assert (await browser.get(f"/jobs{path}")).status_code == 403
