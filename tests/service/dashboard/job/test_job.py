"""The page of a job: its facts come from the ledger, and it says why a job does not run, with a way out."""

from typing import Any

import httpx
from sqlalchemy import update

from service.dashboard.text import short_id
from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from service.tables import jobs
from tests.service.api.driving import MASK, SECRET, begin, end, get, job_in, post, webhook
from tests.service.dashboard.pages import html
from tests.support.html import Html
from tests.support.writing import writing

HOSTILE = "<img src=x onerror=alert(1)>"


def checks(page: Html) -> list[str]:
    return [one["class"].removeprefix("is-") for one in page.all("li") if "is-" in (one.attributes.get("class") or "")]


def facts(page: Html, *terms: str) -> list[str]:
    """Return what the page says about these terms, if anything."""
    told = dict(zip((one.words for one in page.all("dt")), (one.words for one in page.all("dd")), strict=True))
    return [told[term] for term in terms if term in told]


def buttons(page: Html) -> dict[str, bool]:
    """Return the actions of the page, and whether they can be taken now."""
    return {one.words: one.attributes.get("aria-disabled") != "true" for one in page.all("button", class_="button")}


async def test_a_failed_job_tells_what_happened_to_it(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    sent: Any = webhook(secret=SECRET) | {"tags": [HOSTILE], "metadata": {"m": HOSTILE}, "max_attempts": 2}
    job = (await browser.post("/v1/jobs", json=sent)).json()
    await end(ledger, await begin(ledger, job), Outcome.FAILED, State.FAILED)
    page = await html(browser, f"/jobs/{job['id']}")
    assert page.one("h1").words == "send_webhook failed"
    for fact in ("It failed: no luck", "Attempt 1", "Traceback: no luck", HOSTILE, "host:127.0.0.1:9", "Kept until"):
        assert fact in page.main
    drawing = page.one("svg", id="machine")
    assert drawing["aria-label"].endswith("then failed.")
    assert SECRET not in (await browser.get(f"/jobs/{job['id']}")).text
    assert page.one("span", class_="secret").words == "secret"
    assert buttons(page)["Replay"]
    assert "Cancel" not in buttons(page)
    [curl] = [one["data-copy"] for one in page.all("button") if one.words == "Copy as curl"]
    assert "(the secret)" in curl
    assert MASK not in curl
    assert f"/kinds/send_webhook/enqueue?like={job['id']}" in [one["href"] for one in page.all("a", class_="button")]


async def test_a_job_tells_its_idempotency_key_and_its_trace(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    plain = await post(browser)
    key = {"Idempotency-Key": "order-83790-paid"}
    sent = await browser.post("/v1/jobs", json=webhook(), headers=key)
    flow = await browser.post(
        "/v1/flows", json={"jobs": [webhook() | {"name": "a"}]}, headers={"Idempotency-Key": "f-1"}
    )
    async with writing(ledger.database) as connection:
        carried = '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
        await connection.execute(update(jobs).where(jobs.c.id == sent.json()["id"]).values(trace_context=carried))
    page = await html(browser, f"/jobs/{sent.json()['id']}")
    assert facts(page, "Idempotency", "Trace") == ["order-83790-paid", "0af7651916cd43dd8448eb211c80319c"]
    assert facts(await html(browser, f"/jobs/{flow.json()['jobs']['a']}"), "Idempotency") == ["f-1"]
    assert facts(await html(browser, f"/jobs/{plain['id']}"), "Idempotency", "Trace") == []


async def test_a_job_that_waits_says_why(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    parent = await post(browser, delay=3600)
    child = await post(browser, after=[parent["id"]])
    nobody = await html(browser, f"/jobs/{(await post(browser))['id']}")
    assert nobody.one("h2", id="why").words == "No worker is alive."
    assert checks(nobody) == ["fine"] * 5 + ["wrong"]
    later = await html(browser, f"/jobs/{parent['id']}")
    assert later.one("h2", id="why").words.startswith("It waits for its time")
    assert buttons(later)["Run now"]
    blocked = await html(browser, f"/jobs/{child['id']}")
    assert f"It waits for job {parent['id']} (update_stats) to succeed." in blocked.main
    assert not buttons(blocked)["Run now"]
    assert f"/jobs/{parent['id']}" in [one["href"] for one in blocked.all("a", class_="button")]
    assert f"/jobs/{child['id']}" in [one["href"] for one in later.all("a")]
    paused = await post(browser, lane="tenant:1")
    await browser.post("/v1/queues/default/pause", json={"for": 600})
    held = await html(browser, f"/jobs/{paused['id']}")
    assert "Its queue default is paused until" in held.one("h2", id="why").words
    assert "warning" in checks(held)
    assert held.all("form", action="/queues/default/resume")


async def test_other_jobs_of_its_flow_are_named(browser: httpx.AsyncClient) -> None:
    wanted: list[dict[str, Any]] = [{"name": "fetch"}, {"name": "send", "after": ["fetch"]}]
    wanted.append({"name": "tidy", "after": ["send"]})
    flow = (await browser.post("/v1/flows", json={"jobs": [webhook() | job for job in wanted]})).json()["jobs"]
    page = await html(browser, f"/jobs/{flow['send']}")
    named = {link["href"]: link.words for link in page.all("a") if link["href"].startswith("/jobs/")}
    assert (named[f"/jobs/{flow['fetch']}"], named[f"/jobs/{flow['tidy']}"]) == ("fetch", "tidy")
    assert short_id(flow["fetch"]) in page.main
    assert short_id(flow["tidy"]) in page.main


async def test_a_running_job_shows_how_far_it_is(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await post(browser)
    started = await begin(ledger, job)
    await ledger.progress(job["id"], started.attempt, 310, 500)
    page = await html(browser, f"/jobs/{job['id']}")
    assert "Attempt 1 is running" in page.main
    assert "310 of 500" in page.main
    assert "Show the current stack" in buttons(page)
    assert page.one("progress")["value"] == "310"


async def test_what_older_attempts_left_behind_is_fetched_when_they_are_opened(
    browser: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await job_in(browser, ledger, State.FAILED)
    await browser.post(f"/v1/jobs/{job['id']}/replay")
    await end(ledger, await begin(ledger, await get(browser, job["id"])), Outcome.FAILED, State.FAILED)
    page = await html(browser, f"/jobs/{job['id']}")
    [newest, oldest] = page.all("details", class_="attempt")
    assert ("open" in newest.attributes, "open" in oldest.attributes) == (True, False)
    assert "Traceback: no luck" not in oldest.words
    body = Html((await browser.get(oldest["hx-get"])).text)
    assert "Traceback: no luck" in body.one("pre").words
    assert "Traceback: no luck" in (await html(browser, f"/jobs/{job['id']}", attempt=1)).main
    assert (await browser.get(f"/jobs/{job['id']}/attempts/9")).status_code == 404


async def test_a_job_that_is_not_there_is_told_in_the_shell(browser: httpx.AsyncClient) -> None:
    page = await html(browser, "/jobs/nobody", status=404)
    assert "There is no job 'nobody'" in page.main
