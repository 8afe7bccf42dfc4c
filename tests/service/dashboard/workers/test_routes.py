"""The pages of workers and queues: who is alive, what each runs, who works a queue, and what nobody works."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from service.settings import Settings
from service.tables import jobs, workers
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking
from tests.support.writing import writing

pytestmark = on_sqlite


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def worker(browser: Browser, name: str, *, started_ago_s: int, silent_s: int = 0, **fields: object) -> None:
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    row = {"id": f"{name}-7-0", "hostname": name, "pid": 7, "queues": "default,mail", "slots": 50, "version": "2.0"}
    row |= {"kinds": json.dumps(["update_stats"]), "memory_bytes": 94_000_000, "loop_lag_s": 0.004}
    row |= {"started_at": now - timedelta(seconds=started_ago_s), "heartbeat_at": now - timedelta(seconds=silent_s)}
    row |= {"beating_since": row["started_at"]} | fields
    if row.pop("dead", False):
        row |= {"ended_at": now, "declared_dead": 1, "rescued": 12}
    async with writing(browser.ledger.database) as connection:
        await connection.execute(insert(workers).values(**row))


async def run(browser: Browser, job_id: str, under: str) -> None:
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    state = {"state": "running", "worker": under, "attempt": 1, "started_at": now - timedelta(seconds=72)}
    async with writing(browser.ledger.database) as connection:
        changed = update(jobs).where(jobs.c.id == job_id)
        await connection.execute(changed.values(**state, progress_done=20, progress_total=50))


async def test_workers_are_told_by_how_they_stand_and_what_they_run(browser: Browser) -> None:
    assert "No worker is alive." in await browser.words("/workers")
    body = {"kind": "update_stats", "args": {"subject": "a", "event": "b"}}
    job = await browser.call("POST", "/v1/jobs", body)
    await worker(browser, "fra-1", started_ago_s=60, version="2.1")
    await worker(browser, "fra-2", started_ago_s=600)
    await worker(browser, "fra-3", started_ago_s=600, silent_s=31, dead=True)
    await run(browser, job["id"], "fra-2-7-0")
    page = await browser.words("/workers")
    assert "2 workers are alive, and 1 has been silent for 31 s." in page
    assert "Its 12 jobs were rescued and run elsewhere." in page
    assert "A deploy is under way: 1 of 2 workers run 2.1." in page
    assert "fra-3-7-0 12 jobs rescued at" in page
    assert "fra-2-7-0 pid 7 alive 1 of 50 default, mail 2.0 4 ms 94 MB 10 min" in page
    assert f"update_stats {job['id']} fra-2-7-0 20 of 50 1 min 30 s Show the stack" in page
    one = await browser.words("/workers/fra-2-7-0")
    assert "It is alive and runs 1 job in 50 slots." in one
    assert job["id"] in one
    assert "fra-2-7-0 takes no new jobs. It finishes the 1 job that it has." in await browser.act(
        "/workers/fra-2-7-0/drain"
    )
    assert "fra-2-7-0 1 job left, the oldest running for 1 min" in await browser.words("/workers")
    assert "fra-3-7-0 is off the list." in await browser.act("/workers/fra-3-7-0/forget")
    assert "fra-3" not in await browser.words("/workers")
    living = await browser.send("/workers/fra-1-7-0/forget", {}, HX_Request="true")
    assert living.status_code == 409
    assert "There is no worker 'nobody'" in await browser.words("/workers/nobody", status=404)


async def test_lost_and_ended_workers_are_told_apart(browser: Browser) -> None:
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    for number in range(4):
        await worker(browser, "vm", started_ago_s=600, silent_s=31, dead=True, id=f"vm-{number}-a", rescued=0)
    for number, minutes in enumerate((9, 3, 6)):
        ended_at = now - timedelta(minutes=minutes)
        await worker(browser, "vm", started_ago_s=900, id=f"vm-{number}-b", ended_at=ended_at)
    page = await browser.page("/workers")
    assert page.count('class="wrong"') == 4
    assert re.findall(r">(vm-\d-b)</a>", page) == ["vm-1-b", "vm-2-b", "vm-0-b"]


async def test_queues_tell_what_waits_who_works_it_and_are_paused(browser: Browser) -> None:
    body = {"kind": "update_stats", "args": {"subject": "a", "event": "b"}}
    await browser.call("POST", "/v1/jobs/batch", {"jobs": [body] * 3})
    assert "1 queue has waiting jobs and no living worker: default. 3 jobs wait" in await browser.words("/queues")
    await worker(browser, "fra-1", started_ago_s=60)
    browser.app.state.api.lanes.outlook.forget()
    page = await browser.words("/queues")
    assert "Every queue with jobs has a worker." in page
    assert "default worked 3" in page
    assert "The queue default is paused until" in await browser.act("/queues/default/pause", **{"for": "900"})
    assert "default paused by anybody" in await browser.words("/queues")
    assert "The queue default goes on." in await browser.act("/queues/default/resume")
    answer = await browser.send("/queues/nowhere/pause", {}, HX_Request="true")
    assert (answer.status_code, "There is no queue" in answer.text) == (404, True)
