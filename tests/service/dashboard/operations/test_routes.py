"""The pages of operations: how far each is, what failed in it, and what can be done to one under way."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service.access_tables import trail
from service.ledger.operations import Against, OperationState
from service.ledger.records.operations import Page, record_counted, record_page
from service.operation_tables import operations
from service.settings import Settings
from service.tables import jobs
from tests.service.dashboard.places import Browser, looking
from tests.support.many_jobs import make_jobs
from tests.support.writing import writing


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def begun(browser: Browser, members: list[str], against: dict[str, Against], **body: Any) -> str:
    """Start a replay, and let it have dealt with these members."""
    wanted = {"action": "replay", "filter": {"kind": "update_stats", "state": "failed"}, "rate": 50} | body
    operation_id: str = (await browser.call("POST", "/v1/operations", wanted))["id"]
    database = browser.ledger.database
    async with browser.ledger.read() as connection:
        now = await database.now(connection)
    began = now - timedelta(seconds=10)
    await database.run(partial(record_counted, operation_id=operation_id, matched=8, at=began, is_all=True))
    page = Page(operation_id, None, None, is_last=False, members=members, against=against)
    assert await database.run(partial(record_page, page=page, change=lambda _: {}, at=now))
    return operation_id


async def test_an_operation_tells_how_far_it_is_and_what_became_of_its_members(browser: Browser) -> None:
    members = await make_jobs(browser.ledger, 5)
    other = members.pop()
    operation_id = await begun(
        browser, [*members, other], {other: Against("kind_unknown", "There is no kind.")}, name="after <the> fix"
    )
    async with writing(browser.ledger.database) as connection:
        for job_id, state in zip(members, ("succeeded", "queued", "running", "failed"), strict=True):
            values = {"state": state, "error_message": "again"}
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
    said = await browser.words("/operations")
    assert "1 operation is under way." in said
    assert "after <the> fix running replay · failed, update_stats · started" in said
    assert "by anybody" in said
    assert "Done 5 of 8, 62 %" in said
    assert "/s of 50/s" in said
    assert "Succeeded since 1 Not yet ended 2 Failed again 1 job Could not be done 1 job" in said
    one = await browser.words(f"/operations/{operation_id}")
    assert "4 of 8 jobs replayed. About" in one
    assert "It could not be applied to 1 job. 1 job has failed again since." in one
    assert f"update_stats {members[3]} again ValueError" in one
    assert f"{other} There is no kind." in one
    assert '"fingerprint"' not in one
    assert "Operations 1 under way" in " ".join((await browser.page("/jobs")).replace("<", " <").split()) or (
        "under way" in await browser.page("/jobs")
    )
    await browser.page("/operations/none", status=404)


async def test_its_pace_is_changed_and_it_is_stopped_and_both_are_on_the_trail(browser: Browser) -> None:
    members = await make_jobs(browser.ledger, 2)
    operation_id = await begun(browser, members, {})
    path = f"/operations/{operation_id}"
    assert "The pace is now 80 a second. It was 50. About" in await browser.act(f"{path}/pace", rate="80")
    refused = await browser.send(f"{path}/pace", {"rate": "fast"}, HX_Request="true")
    assert (refused.status_code, "is not a number" in refused.text) == (422, True)
    assert "It now goes as fast as possible." in await browser.act(f"{path}/pace", rate="")
    assert (await browser.call("GET", f"/v1{path}"))["rate"] is None
    told = await browser.act(f"{path}/stop")
    assert "The operation is stopped." in told
    assert "2 of 8 jobs were dealt with. What was done stays done." in told
    late = await browser.send(f"{path}/stop", {}, HX_Request="true")
    assert (late.status_code, (await browser.send(f"{path}/pace", {"rate": "5"}, HX_Request="true")).status_code) == (
        200,
        409,
    )
    said = await browser.words(path)
    assert "It was stopped after 2 of 8 jobs replayed." in said
    assert "Nothing is under way. The latest, Replay failed, update_stats, was stopped" in await browser.words(
        "/operations"
    )
    async with browser.ledger.read() as connection:
        rows = (await connection.execute(select(trail.c.action, trail.c.ending).order_by(trail.c.id))).all()
    assert [tuple(row) for row in rows if row[0] in ("change", "stop")][:3] == [
        ("change", "done"),
        ("change", "done"),
        ("stop", "done"),
    ]


async def test_a_dry_run_is_called_one(browser: Browser) -> None:
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    row: dict[str, object] = {
        "id": "op",
        "action": "cancel",
        "filter": '{"state":"succeeded"}',
        "state": OperationState.SUCCEEDED,
    }
    row |= {"matched": 3, "done": 3, "created_at": now, "finished_at": now, "dry_run": True, "principal": "anybody"}
    async with writing(browser.ledger.database) as connection:
        await connection.execute(insert(operations), [row])
    page = await browser.words("/operations")
    assert "Nothing is under way. The latest, Cancel succeeded (dry run), finished just now." in page
    assert page.endswith("anybody Newest first Newer Older")


async def test_ended_operations_are_listed_page_by_page_newest_first(browser: Browser) -> None:
    empty = await browser.words("/operations")
    assert "There are no operations." in empty
    assert "Ended" not in empty
    async with browser.ledger.read() as connection:
        now = await browser.ledger.database.now(connection)
    rows = [
        {
            "id": f"op-{number:02}", "action": "cancel", "filter": '{"tag":"t"}', "state": OperationState.SUCCEEDED,
            "matched": number, "done": number, "created_at": now - timedelta(minutes=number),
            "finished_at": now, "name": f"tidy {number}",
        }
        for number in range(52)
    ]  # fmt: skip
    async with writing(browser.ledger.database) as connection:
        await connection.execute(insert(operations), rows)
    html = await browser.page("/operations")
    assert html.count('id="operation-op-') == 50
    assert html.index("tidy 0<") < html.index("tidy 49<")
    older = html.split("data-next")[0].rsplit('href="', 1)[1].split('"')[0]
    assert (await browser.page(older)).count('id="operation-op-') == 2
