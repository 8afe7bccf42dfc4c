"""Log lines and stacks over HTTP."""

from datetime import timedelta
from functools import partial
from typing import Any

import httpx

from service.attempt_lines import KeptLine, KeptLines
from service.ledger.ledger import Ledger
from service.ledger.records.log_lines import record_log_lines
from service.ledger.records.purged import delete_jobs
from service.ledger.records.stacks import TakenStack, record_stacks
from service.ledger.states import State
from tests.service.api.driving import assert_problem, job_in, post
from tests.service.ledger.makers import NOW


def lines(job_id: str, attempt: int, *numbers: int) -> KeptLines:
    texts = [KeptLine(n, NOW + timedelta(seconds=n), "info", f"line {n}", f'{{"n": {n}}}') for n in numbers]
    return KeptLines(job_id, attempt, texts)


async def test_log_is_read_page_by_page_and_tells_what_was_left_out(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job_id = (await post(api))["id"]
    empty = (await api.get(f"/v1/jobs/{job_id}/log")).json()
    assert empty == {"lines": [], "latest": None, "args_hidden": False}

    kept = [lines(job_id, 1, 1, 2, 5), lines(job_id, 2, 1)]
    for _ in range(2):  # safe to repeat
        await ledger.database.run(partial(record_log_lines, kept=kept))
    await ledger.database.run(partial(record_log_lines, kept=[lines("no such job", 1, 1)]))
    found = (await api.get(f"/v1/jobs/{job_id}/log")).json()
    assert [(one["attempt"], one["number"], one["left_out"]) for one in found["lines"]] == [
        (1, 1, 0),
        (1, 2, 0),
        (1, 5, 2),
        (2, 1, 0),
    ]
    assert (found["lines"][2]["text"], found["lines"][2]["names"]) == ("line 5", {"n": 5})
    assert found["lines"][0]["at"] == "2026-06-01T12:00:01.000000Z"

    async def page(**query: Any) -> tuple[list[int], str | None]:
        answer = (await api.get(f"/v1/jobs/{job_id}/log", params=query)).json()
        return [one["number"] for one in answer["lines"]], answer["latest"]

    assert await page(limit=2) == ([1, 2], "1.2")
    assert await page(after="1.2") == ([5, 1], "2.1")
    assert await page(after="2.1") == ([], "2.1")
    assert await page(attempt=2) == ([1], "2.1")
    assert await page(attempt=3) == ([], None)
    await ledger.database.run(partial(record_log_lines, kept=[KeptLines(job_id, 1, (), left_out=(2, 4))]))
    assert await page(attempt=1) == ([1, 5], "1.5")

    assert assert_problem(await api.get(f"/v1/jobs/{job_id}/log?after=x"), 422)["type"].endswith("refused")
    assert assert_problem(await api.get("/v1/jobs/none/log"), 404)["type"].endswith("job-not-found")

    async with ledger.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM log_lines")).scalar_one() == 3
    done = (await job_in(api, ledger, State.SUCCEEDED))["id"]
    await ledger.database.run(partial(record_log_lines, kept=[lines(done, 1, 1)]))
    await ledger.database.run(lambda connection: delete_jobs(connection, [done], []))
    async with ledger.read() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM log_lines")).scalar_one() == 3


async def test_stack_is_asked_for_while_a_job_runs_and_read_once_it_was_told(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    running = (await job_in(api, ledger, State.RUNNING))["id"]
    assert assert_problem(await api.get(f"/v1/jobs/{running}/stack"), 404)["type"].endswith("stack-not-found")
    wished = await api.post(f"/v1/jobs/{running}/stack")
    assert (wished.status_code, wished.json()["taken_at"], wished.json()["attempt"]) == (202, None, 1)
    await ledger.database.run(partial(record_stacks, taken=[TakenStack(running, 1, "frames")], at=NOW))
    told = (await api.get(f"/v1/jobs/{running}/stack")).json()
    assert (told["stack"], told["taken_at"]) == ("frames", "2026-06-01T12:00:00.000000Z")
    again = (await api.post(f"/v1/jobs/{running}/stack")).json()
    assert (again["stack"], again["taken_at"]) == (None, None)

    waiting = (await post(api, delay=60))["id"]
    assert assert_problem(await api.post(f"/v1/jobs/{waiting}/stack"), 409)["type"].endswith("state-forbids")
    assert assert_problem(await api.post("/v1/jobs/none/stack"), 404)["type"].endswith("job-not-found")
