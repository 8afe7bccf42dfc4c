"""Listing jobs: filters, pages, cursors."""

import base64
import json
from typing import Any

import httpx

from service.ledger.ledger import Ledger
from service.ledger.states import State
from tests.service.api.driving import assert_problem, job_in, on_sqlite, post, stat


async def ids(api: httpx.AsyncClient, **params: Any) -> list[str]:
    response = await api.get("/v1/jobs", params=params)
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.json()["jobs"]]


@on_sqlite
async def test_empty_ledger_lists_nothing(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/jobs")).json() == {"jobs": [], "next_cursor": None}


async def test_list_is_newest_first_and_shows_jobs_as_the_lookup_does(api: httpx.AsyncClient, ledger: Ledger) -> None:
    jobs = [await job_in(api, ledger, state) for state in (State.QUEUED, State.FAILED, State.SUCCEEDED)]
    assert (await api.get("/v1/jobs")).json() == {"jobs": jobs[::-1], "next_cursor": None}


@on_sqlite
async def test_each_state_can_be_asked_for(api: httpx.AsyncClient, ledger: Ledger) -> None:
    jobs = {state: await job_in(api, ledger, state) for state in State}
    assert {state: await ids(api, state=state) for state in State} == {
        state: [job["id"]] for state, job in jobs.items()
    }


async def test_each_filter_shows_what_it_names_and_nothing_else(api: httpx.AsyncClient) -> None:
    first = await post(api, tags=["a", "both"])
    second = await post(api, tags=["both"])
    cleanup = (await api.post("/v1/jobs", json={"kind": "cleanup"})).json()
    expected = {
        ("kind", "cleanup"): [cleanup],
        ("kind", "nope"): [],
        ("queue", "default"): [cleanup, second, first],
        ("queue", "nope"): [],
        ("tag", "a"): [first],
        ("tag", "both"): [second, first],
        ("tag", "nope"): [],
        ("created_after", first["created_at"]): [cleanup, second],
        ("created_before", cleanup["created_at"]): [second, first],
    }
    found = {(name, value): await ids(api, **{name: value}) for name, value in expected}
    assert found == {given: [job["id"] for job in jobs] for given, jobs in expected.items()}
    both = {"tag": "both", "created_after": first["created_at"], "kind": "update_stats", "state": "queued"}
    assert await ids(api, **both) == [second["id"]]


async def test_pages_show_each_job_once_and_newest_first(api: httpx.AsyncClient) -> None:
    await api.post("/v1/jobs/batch", json={"jobs": [stat(tags=["t"])] * 20})  # all of one moment
    for _ in range(5):
        await post(api, tags=["t"])
    for wanted in ({}, {"tag": "t"}, {"state": "queued", "kind": "update_stats"}):
        jobs: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 4} | wanted
        while True:
            page = (await api.get("/v1/jobs", params=params)).json()
            jobs += page["jobs"]
            if page["next_cursor"] is None:
                break
            assert len(page["jobs"]) == 4
            params["cursor"] = page["next_cursor"]
        assert len(jobs) == len({job["id"] for job in jobs}) == 25
        assert [job["created_at"] for job in jobs] == sorted((job["created_at"] for job in jobs), reverse=True)


async def test_page_stays_where_it_was_when_new_jobs_arrive(api: httpx.AsyncClient) -> None:
    jobs = [await post(api) for _ in range(3)]
    cursor = (await api.get("/v1/jobs", params={"limit": 1})).json()["next_cursor"]
    await post(api)
    assert await ids(api, cursor=cursor) == [jobs[1]["id"], jobs[0]["id"]]


@on_sqlite
async def test_last_page_that_is_full_has_no_next(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        await post(api)
    assert (await api.get("/v1/jobs", params={"limit": 2})).json()["next_cursor"] is None


@on_sqlite
async def test_a_page_has_fifty_jobs_unless_told(api: httpx.AsyncClient) -> None:
    await api.post("/v1/jobs/batch", json={"jobs": [stat()] * 60})
    assert len(await ids(api)) == 50
    assert len(await ids(api, limit=1000)) == 60


def forged(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


MOMENT = "2026-01-01T00:00:00+00:00"
BAD_CURSORS = [
    "x",
    "é",
    "!!!!",
    forged(None),
    forged([]),
    forged(7),
    forged([MOMENT]),
    forged([MOMENT, 7]),
    forged([MOMENT, "a\0b"]),
    forged([MOMENT, "\ud800"]),
    forged(["2026-01-01T00:00:00", "naive"]),
    forged(["0001-01-01T00:00:00+14:00", "before all time"]),
    forged(["noon", "x"]),
    base64.urlsafe_b64encode(b"[" * 20_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]


async def test_cursor_that_is_not_ours_is_refused(api: httpx.AsyncClient) -> None:
    answers = {cursor: await api.get("/v1/jobs", params={"cursor": cursor}) for cursor in BAD_CURSORS}
    assert {cursor: answer.status_code for cursor, answer in answers.items()} == dict.fromkeys(BAD_CURSORS, 422)
    for answer in answers.values():
        assert_problem(answer, 422)


BAD_PARAMS: list[dict[str, str | int]] = [
    {"limit": 0},
    {"limit": 1001},
    {"limit": "x"},
    {"state": "done"},
    {"created_after": "yesterday"},
    {"created_after": "2026-01-01T00:00:00"},
    {"created_before": "0001-01-01T00:00:00+14:00"},
    {"created_after": "9999-12-31T23:59:59-14:00"},
    {"kind": "a\0b"},
    {"queue": "\0"},
    {"tag": "\0"},
]


async def test_filter_that_makes_no_sense_is_refused(api: httpx.AsyncClient) -> None:
    answers = {str(params): await api.get("/v1/jobs", params=params) for params in BAD_PARAMS}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 422)
    for answer in answers.values():
        assert_problem(answer, 422)


@on_sqlite
async def test_a_filter_that_there_is_not_is_refused_and_those_that_there_are_named(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await api.get("/v1/jobs", params={"status": "failed", "limit": 5}), 422)
    assert problem["detail"] == (
        "Unknown in the query: status."
        " Known are: created_after, created_before, cursor, kind, limit, queue, state, tag."
    )
