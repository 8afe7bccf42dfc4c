"""The overview: how to begin, that all is well, or what is wrong; every number is the ledger's."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.dashboard.overview.reading import Standing
from service.insight.trouble import Action, Trouble
from service.insight.words import Link
from service.ledger.ledger import Ledger
from service.ledger.records.lanes import Breaker, record_breakers, record_rule
from service.ledger.states import State
from service.settings import Settings
from service.shared_reads import SharedReads
from tests.service.ledger.makers import enqueue, live_worker, new_job, start
from tests.support.browser import browsing
from tests.support.html import Html
from tests.support.writing import writing


async def look(browser: httpx.AsyncClient) -> Html:
    return Html((await browser.get("/")).text)


async def test_before_the_first_job_it_says_how_to_begin(browser: httpx.AsyncClient) -> None:
    page = await look(browser)
    assert page.one("h1").words == "Nothing has been enqueued yet."
    assert "No worker is alive yet" in page.main
    assert "Redis answers in" in page.main
    assert "/v1/jobs -H 'content-type: application/json'" in page.main
    assert {"/kinds/update_stats", "/kinds/send_webhook"} <= {one.attributes.get("href") for one in page.all("a")}
    assert "open, to this machine only" in page.main
    assert "postlude keys create admin --scope admin" in page.main


async def test_what_it_tells_to_do_enqueues_a_first_job(browser: httpx.AsyncClient) -> None:
    page = await look(browser)
    command = page.one("pre", aria_label="A curl command").words
    body = command.partition("-d '")[2].removesuffix("'")
    answer = await browser.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 202
    assert "Waiting" in (await look(browser)).main


async def test_it_shows_the_kind_of_the_readme(browser: httpx.AsyncClient) -> None:
    readme = (Path(__file__).parents[4] / "README.md").read_text()
    _shop, greetings = re.findall(r"^```python\n(.*?)^```", readme, re.M | re.S)
    shown = (await look(browser)).one("pre", aria_label="A kind in Python").words
    assert shown.split() == greetings.split()


async def test_its_numbers_are_the_ledgers(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    due = [new_job(queue="mail", run_at=now - timedelta(minutes=9), created_at=now) for _ in range(3)]
    later = new_job(state=State.SCHEDULED, run_at=now + timedelta(minutes=30), created_at=now)
    done = new_job(run_at=now, created_at=now)
    await enqueue(ledger, *due, later, done)
    await live_worker(ledger, at=now)
    await start(ledger, due[0].id, at=now)
    page = await look(browser)
    tiles = {one.words for one in page.all("a", class_="tile")}
    assert any(tile.startswith("Waiting3oldest 9 min") for tile in tiles), tiles
    assert any(tile.startswith("Running1 of") for tile in tiles), tiles
    assert any(tile.startswith(("Scheduled1next in 29 min", "Scheduled1next in 30 min")) for tile in tiles), tiles
    queue = next(one for one in page.all("tr") if one.words.startswith("mail"))
    assert queue.words == "mail29 min1"
    assert page.one("div", class_="plot")["aria-label"].startswith("Jobs per second over the last hour")
    assert len(page.all("td", data_value="0.0")) >= 4


async def test_it_names_what_is_held_and_how_many_wait_for_it(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    lane = "host:hooks.example.com"
    await enqueue(ledger, *(new_job(kind_lane=lane, run_at=now, created_at=now) for _ in range(2)))
    assert "No lane, kind or queue is held." in (await look(browser)).main
    until = now + timedelta(seconds=90)
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_breakers, [Breaker(lane, "open", until, 1, "connection refused")], now)
        await connection.run_sync(record_rule, "queue:bulk", {"paused": True}, now)
    state(browser).forget()
    held = Html((await browser.get("/")).text)
    row = next(one for one in held.all("tr", class_="wrong") if lane in one.words)
    assert row.words.startswith(f"{lane}held by its breaker, next try in 1 min")
    assert row.words.endswith("2")
    assert "queue:bulkpaused" in held.main


async def test_the_worst_is_told_in_full_and_the_rest_in_a_line(
    browser: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def troubled(_: object) -> list[Trouble]:
        return TROUBLES

    monkeypatch.setattr("service.insight.troubles.Troubles.now", troubled)
    await enqueue(ledger, new_job())
    page = await look(browser)
    assert page.one("title").words == "Webhooks to hooks.example.com are not going out · Overview · Postlude"
    assert page.one("h1").words == TROUBLES[0].headline
    worst = page.one("section", id="worst").words
    for told in (
        "4,812 jobs wait, the oldest for 9 min.",
        "Held bythe breaker",
        "Tell the people who run the receiver.",
        "Again",
    ):
        assert told in worst
    assert page.one("form", action="/lanes/x/resume")["method"] == "post"
    assert page.one("section", aria_label="Warning").words == "x skipped a tick. See the schedule"
    assert page.all("data", value="hooks.example.com is down")
    assert {one.words for one in page.all("span", class_="count")} == {"1 wrong", "1 to look at"}


async def test_many_lost_workers_are_told_in_one_line(
    browser: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    lost = [Trouble(f"worker:w{number}", "note", "workers", f"w{number}", since=now) for number in range(10)]

    async def troubled(_: object) -> list[Trouble]:
        return lost

    monkeypatch.setattr("service.insight.troubles.Troubles.now", troubled)
    await enqueue(ledger, new_job())
    page = await look(browser)
    [told] = [one.words for one in page.all("section", aria_label="Note") if "lost" in one.words]
    assert told.startswith("10 workers were lost: w0, w1, w2 and 7 more. The last was heard from just now.")
    assert "more things to look at" not in page.main


async def test_without_the_ledger_it_says_so_and_nothing_that_cannot_be_known(settings: Settings) -> None:
    nowhere = f"sqlite+aiosqlite:///{settings.data_dir / 'nowhere' / 'postlude.db'}"
    async with browsing(settings.model_copy(update={"database_url": nowhere})) as browser:
        answer = await browser.get("/", headers={"accept": "text/html"})
    page = Html(answer.text)
    assert answer.status_code == 503
    assert "ledger" in page.one("h1").words.lower()
    assert not page.all("a", class_="tile")


def state(browser: httpx.AsyncClient) -> SharedReads[Standing | None]:
    """Return what the page keeps for a second."""
    app = browser._transport.app  # type: ignore[attr-defined]
    app.state.api.lanes.outlook.forget()
    kept: SharedReads[Standing | None] = app.state.dashboard.standing
    return kept


NOW = datetime(2026, 11, 25, 1, 14, tzinfo=UTC)
TROUBLES = [
    Trouble(
        key="lane:host:hooks.example.com",
        severity="wrong",
        section="lanes",
        headline="Webhooks to hooks.example.com are not going out.",
        text=("4,812 jobs wait, the oldest for 9 min.",),
        facts=[("Held by", (Link("the breaker", "/lanes/x"), ", which lets one job try"))],
        steps=[("Tell the people who run the receiver.",)],
        actions=[Action("Open the lane", "/lanes/x"), Action("Again", "/lanes/x/resume", is_post=True)],
        since=NOW,
        name="hooks.example.com is down",
    ),
    Trouble(
        key="schedule:x",
        severity="warning",
        section="schedules",
        headline="x skipped a tick.",
        actions=[Action("See the schedule", "/schedules/x")],
    ),
]
