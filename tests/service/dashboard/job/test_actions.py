"""Actions on a job's page do what the API does, are noted on the trail, and say why they cannot."""

import json
from typing import Any

import httpx

from service.dashboard.text import short_id
from service.ledger.ledger import Ledger
from service.ledger.reads.jobs import stored_args
from service.ledger.states import Outcome, State
from tests.service.api.driving import MASK, SECRET, begin, end, get, job_in, post, webhook
from tests.service.dashboard.pages import act, html
from tests.support.html import Html


def form_of(page: Html) -> dict[str, Any]:
    """Return what the fields of the dialog of changes say."""
    fields = [one for one in page.all("input") if (one.attributes.get("id") or "").startswith("change-")]
    return {one["name"]: one["value"] for one in fields}


async def noted(browser: httpx.AsyncClient, job_id: str) -> list[tuple[str, str]]:
    actions = (await browser.get("/v1/audit", params={"target": job_id})).json()["actions"]
    return [(one["action"], one["ending"]) for one in actions]


async def test_each_action_is_done_and_noted(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    job = (await job_in(browser, ledger, State.FAILED))["id"]
    assert await act(browser, f"/jobs/{job}/replay") == f"Job {short_id(job)} runs again."
    assert (await get(browser, job))["state"] == "queued"
    refused = await act(browser, f"/jobs/{job}/replay", status=409)
    assert "The job is queued: it cannot be replayed." in refused
    assert await act(browser, f"/jobs/{job}/cancel") == "It is cancelled."
    later = (await post(browser, delay=3600))["id"]
    assert await act(browser, f"/jobs/{later}/run-now") == "It is due now."
    assert (await get(browser, later))["state"] == "queued"
    assert await noted(browser, job) == [("cancel", "done"), ("replay", "refused"), ("replay", "done")]
    running = await post(browser)
    await begin(ledger, running)
    assert "asked for the stack" in await act(browser, f"/jobs/{running['id']}/stack")
    assert "being interrupted" in await act(browser, f"/jobs/{running['id']}/cancel")


async def test_a_form_changes_what_it_changes_and_nothing_else(browser: httpx.AsyncClient) -> None:
    job = await post(browser, tags=["old"], delay=3600, lane="tenant:1")
    path = f"/jobs/{job['id']}"
    page = await html(browser, path)
    form: dict[str, Any] = {**form_of(page), "args": page.one("textarea", id="change-args").words}
    assert "already has" in await act(browser, f"{path}/change", status=422, **form)
    toast = await act(browser, f"{path}/change", **form | {"priority": "7", "tags": "a, b", "lane": ""})
    assert toast == "Changed: lane, priority, tags."
    changed = await get(browser, job["id"])
    assert (changed["priority"], changed["tags"], changed["lane"]) == (7, ["a", "b"], None)
    assert changed["run_at"] == job["run_at"]
    form = form_of(await html(browser, path))
    other = json.dumps({"subject": "other", "event": "view"})
    assert await act(browser, f"{path}/change", **form, args=other) == "Changed: args."
    assert (await get(browser, job["id"]))["args"]["subject"] == "other"
    wrong = json.dumps({"subject": 1})
    assert "subject" in await act(browser, f"{path}/change", status=422, **form, args=wrong)
    assert "priority must be a number" in await act(browser, f"{path}/change", status=422, **form | {"priority": "x"})


async def test_a_replay_with_edited_args_runs_with_these(browser: httpx.AsyncClient, ledger: Ledger) -> None:
    sent: Any = webhook(secret=SECRET)
    job = (await browser.post("/v1/jobs", json=sent)).json()
    await end(ledger, await begin(ledger, job), Outcome.FAILED, State.FAILED)
    path = f"/jobs/{job['id']}/replay"
    args: dict[str, Any] = job["args"] | {"url": "http://127.0.0.2:9/"}
    assert args["secret"] == MASK
    kept = await act(browser, path, status=422, args=json.dumps(args))
    assert "Type secret again" in kept
    assert "not valid JSON" in await act(browser, path, status=400, args="{")
    assert (await get(browser, job["id"]))["state"] == "failed"
    assert "runs again" in await act(browser, path, args=json.dumps(args | {"secret": SECRET}))
    again = await get(browser, job["id"])
    assert (again["state"], again["args"]["url"], again["failures"]) == ("queued", "http://127.0.0.2:9/", 0)
    assert again["lanes"] == ["host:127.0.0.2:9"]
    assert SECRET in await whole_args(ledger, job["id"])


async def whole_args(ledger: Ledger, job_id: str) -> str:
    async with ledger.read() as connection:
        return (await stored_args(connection, [job_id]))[job_id].whole


async def test_without_a_script_one_comes_back_to_the_job(browser: httpx.AsyncClient) -> None:
    job = (await post(browser))["id"]
    token = Html((await browser.get("/jobs")).text).one("body")["hx-headers"].split('"')[3]
    answer = await browser.post(f"/jobs/{job}/cancel", data={"csrf": token})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/jobs/{job}")
    assert "It is cancelled." in (await browser.get(f"/jobs/{job}")).text
