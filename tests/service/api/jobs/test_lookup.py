"""Jobs, looked up by their ids."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import httpx

from service.ledger.ledger import Ledger
from service.ledger.records.kept import Checkpoint, Step
from service.ledger.states import Outcome, State
from tests.service.api.driving import (
    JOB_FIELDS,
    assert_problem,
    begin,
    but_for_waiting,
    end,
    get,
    job_in,
    on_sqlite,
    post,
)


async def test_job_is_shown_in_each_state(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in State:
        job = await job_in(api, ledger, state)
        assert list(job) == JOB_FIELDS
        assert (job["finished_at"] is not None) == (state in ("succeeded", "failed", "cancelled"))
        assert (job["result"] is not None) == (state == "succeeded")
        assert job["attempt"] == len(job["attempts"]) == int(state in ("running", "retrying", "succeeded", "failed"))


@on_sqlite
async def test_failed_job_is_answered_with_200_and_shows_why(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.FAILED)
    assert job["error"] == {"type": "ValueError", "message": "no luck"}
    assert job["failures"] == 1
    (attempt,) = job["attempts"]
    assert set(attempt) == {"number", "outcome", "started_at", "finished_at", "worker", "error", "exchange"}
    assert (attempt["number"], attempt["outcome"]) == (1, "failed")
    assert attempt["error"] == {"type": "ValueError", "message": "no luck", "traceback": "Traceback: no luck"}


@on_sqlite
async def test_running_attempt_has_no_outcome_and_its_progress_is_shown(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.RUNNING)
    await ledger.progress(job["id"], 1, 3, None)
    job = await get(api, job["id"])
    assert job["progress"] == {"done": 3, "total": None}
    assert job["attempts"][0]["outcome"] is None


@on_sqlite
async def test_all_times_are_rfc_3339_in_utc(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.FAILED)
    names = ("run_at", "created_at", "started_at", "finished_at")
    times = [job[name] for name in names] + [job["attempts"][0][name] for name in names[2:]]
    assert all(time.endswith("Z") and datetime.fromisoformat(time).tzinfo is UTC for time in times), times


async def test_unknown_id_is_404_on_every_call(api: httpx.AsyncClient) -> None:
    for job_id in ("018f0000-0000-7000-8000-000000000001", "no-uuid", "x" * 1000, "%F0%9F%8E%B5"):
        assert_problem(await api.get(f"/v1/jobs/{job_id}"), 404)
        assert_problem(await api.post(f"/v1/jobs/{job_id}/cancel"), 404)
        assert_problem(await api.post(f"/v1/jobs/{job_id}/replay"), 404)


@on_sqlite
async def test_wait_answers_as_soon_as_the_job_has_ended(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await post(api)
    started = await begin(ledger, job)
    answer = asyncio.create_task(api.get(f"/v1/jobs/{job['id']}", params={"wait": 60}))
    assert not (await asyncio.wait([answer], timeout=0.3))[0]
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    async with asyncio.timeout(20):
        response = await answer
    assert response.json()["state"] == "succeeded"
    assert "retry-after" not in response.headers


@on_sqlite
async def test_wait_answers_with_the_job_as_it_is_when_the_time_is_up(api: httpx.AsyncClient) -> None:
    job = await post(api)
    began = time.monotonic()
    response = await api.get(f"/v1/jobs/{job['id']}", params={"wait": 0.3})
    assert 0.3 <= time.monotonic() - began < 15
    assert but_for_waiting(response.json()) == but_for_waiting(job)
    assert response.headers["retry-after"] == "1"


@on_sqlite
async def test_wait_is_at_most_sixty_seconds(api: httpx.AsyncClient) -> None:
    job = await post(api)
    async with asyncio.timeout(5):
        for wait in ("61", "60.001", "-1", "nan", "inf", "x", ""):
            assert_problem(await api.get(f"/v1/jobs/{job['id']}", params={"wait": wait}), 422)


async def test_a_job_shows_what_it_has_kept_and_lists_leave_it_out(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.RUNNING)
    assert (job["steps"], job["checkpoint"]) == ([], None)
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for number, name in enumerate(("load", "build")):
        at = began + timedelta(seconds=number)
        assert await ledger.keep_step(Step(job["id"], 1, name, f'{{"n": {number}}}', began, at))
    assert await ledger.keep_checkpoint(Checkpoint(job["id"], 1, "[7]", began))
    shown = await get(api, job["id"])
    assert shown["checkpoint"] == [7]
    assert shown["steps"][0] == {
        "name": "load",
        "result": {"n": 0},
        "attempt": 1,
        "started_at": "2026-01-02T03:04:05.000000Z",
        "finished_at": "2026-01-02T03:04:05.000000Z",
    }
    assert [step["name"] for step in shown["steps"]] == ["load", "build"]
    [listed] = (await api.get("/v1/jobs")).json()["jobs"]
    assert not {"steps", "checkpoint"} & set(listed)
