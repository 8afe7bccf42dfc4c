"""What a job's request says about other jobs: parents, flows and callbacks; what is refused, and at which place."""

from typing import Any

import httpx
import pytest

from tests.service.api.driving import SECRET, assert_problem, count, get, on_sqlite, post, stat

Loc = list[str | int]
HOOK = {"url": "http://127.0.0.1:9/"}
REFUSED: dict[str, tuple[dict[str, Any], Loc]] = {
    "after as text": ({"after": "x"}, ["after"]),
    "after an empty id": ({"after": [""]}, ["after", 0]),
    "after an id too long": ({"after": ["x" * 256]}, ["after", 0]),
    "after too many": ({"after": [str(n) for n in range(10_001)]}, ["after"]),
    "run_when unknown": ({"run_when": "never"}, ["run_when"]),
    "flow a number": ({"flow": 1}, ["flow"]),
    "a callback as text": ({"on_end": "http://127.0.0.1/"}, ["on_end"]),
    "a callback of two sorts": ({"on_end": HOOK | {"kind": "cleanup"}}, ["on_end"]),
    "a callback of no sort": ({"on_end": {"args": {}}}, ["on_end"]),
    "a callback's field unknown": ({"on_end": HOOK | {"nope": 1}}, ["on_end", "nope"]),
    "a callback that comes after others": ({"on_end": {"kind": "cleanup", "after": ["x"]}}, ["on_end", "after"]),
    "a callback's kind unknown": ({"on_success": {"kind": "nope"}}, ["on_success", "kind"]),
    "a callback's args unfit": (
        {"on_success": {"kind": "update_stats", "args": {"subject": 7, "event": "e"}}},
        ["on_success", "args", "subject"],
    ),
    "a callback's arg unknown": (
        {"on_success": {"kind": "update_stats", "args": {"subject": "s", "event": "e", "evnt": 1}}},
        ["on_success", "args", "evnt"],
    ),
    "a callback's delay": ({"on_failure": stat(delay="5")}, ["on_failure", "delay"]),
    "a callback's args too large": ({"on_failure": stat("x" * 300_000)}, ["on_failure", "args"]),
    "a callback's url": ({"on_failure": {"url": "ftp://x/"}}, ["on_failure", "url"]),
    "a callback's header": ({"on_failure": HOOK | {"headers": {"host": "x"}}}, ["on_failure", "headers"]),
}


@on_sqlite
@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_follow_is_refused_at_its_place(api: httpx.AsyncClient, case: str) -> None:
    body, loc = REFUSED[case]
    problem = assert_problem(await api.post("/v1/jobs", json=stat(**body)), 422)
    places = [one["loc"][: len(loc)] for one in problem.get("errors") or []]
    assert loc in places, problem
    batch = assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat(), stat(**body)]}), 422)
    assert ["jobs", 1, *loc] in [one["loc"][: len(loc) + 2] for one in batch.get("errors") or []], batch
    assert await count(api) == 0


@on_sqlite
async def test_jobs_that_come_after_themselves_or_before_others_of_their_batch_are_refused(
    api: httpx.AsyncClient,
) -> None:
    one, two = (f"019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b7{n}" for n in (1, 2))
    itself = assert_problem(await api.post("/v1/jobs", json=stat(id=one, after=[one])), 422)
    assert ([error["loc"] for error in itself["errors"]], "itself" in itself["detail"]) == ([["after", 0]], True)
    for jobs, loc, told in (
        ([stat(), stat(id=one, after=[one])], ["jobs", 1, "after", 0], "itself"),
        ([stat(id=one, after=[two]), stat(id=two, after=[one])], ["jobs", 0, "after", 0], "job 1 must come before"),
        ([stat(after=[one]), stat(id=one)], ["jobs", 0, "after", 0], "job 1 must come before"),
    ):
        problem = assert_problem(await api.post("/v1/jobs/batch", json={"jobs": jobs}), 422)
        assert problem["type"] == "urn:postlude:problem:flow-invalid"
        assert [error["loc"] for error in problem["errors"]] == [loc]
        assert told in problem["detail"]
    assert await count(api) == 0
    assert (await api.post("/v1/jobs/batch", json={"jobs": [stat(id=one), stat(after=[one])]})).status_code == 202


@on_sqlite
async def test_an_unknown_queue_is_told_at_its_place(api: httpx.AsyncClient) -> None:
    for path, body, loc in (
        ("/v1/jobs", stat(queue="nope"), ["queue"]),
        ("/v1/jobs/batch", {"jobs": [stat(), stat(queue="nope")]}, ["jobs", 1, "queue"]),
        ("/v1/flows", {"jobs": [stat(name="a", queue="nope")]}, ["jobs", 0, "queue"]),
    ):
        problem = assert_problem(await api.post(path, json=body), 422)
        assert problem["type"] == "urn:postlude:problem:queue-unknown"
        assert [error["loc"] for error in problem["errors"]] == [loc]


async def test_a_callback_is_shown_with_its_secrets_masked(api: httpx.AsyncClient) -> None:
    job = await post(api, on_success=HOOK | {"secret": SECRET, "headers": {"authorization": "Bearer abc"}})
    [callback] = job["callbacks"]
    assert (callback["event"], callback["kind"], callback["jobs"]) == ("success", "send_webhook", [])
    assert callback["args"]["url"] == HOOK["url"]
    assert SECRET not in str(job)
    assert "abc" not in str(job)
    assert (await get(api, job["id"]))["callbacks"] == [callback]


async def test_a_repetition_under_an_idempotency_key_finds_the_job_that_waits(api: httpx.AsyncClient) -> None:
    parent = await post(api, delay=3600)
    body, headers = stat(after=[parent["id"]]), {"Idempotency-Key": "k"}
    first = await api.post("/v1/jobs", json=body, headers=headers)
    again = await api.post("/v1/jobs", json=body, headers=headers)
    assert first.json() == again.json()
    assert first.json()["state"] == "blocked"
    assert first.headers["location"] == again.headers["location"]


async def test_a_batch_that_comes_after_too_many_is_refused(api: httpx.AsyncClient) -> None:
    ids = [f"job-{n}" for n in range(10_001)]
    too_many = [stat(after=ids[:5_000]), stat(after=ids[5_000:])]
    too_often = [stat(after=ids[:10_000])] * 11
    for jobs in (too_many, too_often):
        problem = assert_problem(await api.post("/v1/jobs/batch", json={"jobs": jobs}), 422)
        assert "10,000 others" in problem["detail"]
    unknown = await api.post("/v1/jobs/batch", json={"jobs": [stat(after=ids[:10_000])] * 10})
    assert assert_problem(unknown, 422)["type"] == "urn:postlude:problem:parent-unknown"
