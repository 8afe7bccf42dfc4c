"""Listing jobs: filters, pages, cursors."""

import base64
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from service.tables import jobs
from tests.service.api.driving import assert_problem, begin, but_for_waiting, end, get, job_in, on_sqlite, post, stat
from tests.support.writing import writing


async def ids(api: httpx.AsyncClient, **params: Any) -> list[str]:
    response = await api.get("/v1/jobs", params=params)
    assert response.status_code == 200, response.text
    return [job["id"] for job in response.json()["jobs"]]


@on_sqlite
async def test_empty_ledger_lists_nothing(api: httpx.AsyncClient) -> None:
    assert (await api.get("/v1/jobs")).json() == {"jobs": [], "next_cursor": None}


async def test_list_is_newest_first_and_shows_jobs_as_the_lookup_does(api: httpx.AsyncClient, ledger: Ledger) -> None:
    jobs = [await job_in(api, ledger, state) for state in (State.QUEUED, State.FAILED, State.SUCCEEDED)]
    answer = (await api.get("/v1/jobs", params={"expand": "attempts"})).json()
    assert [but_for_waiting(job) for job in answer["jobs"]] == [but_for_waiting(job) for job in jobs[::-1]]
    assert answer["next_cursor"] is None


async def test_list_leaves_attempts_and_their_tracebacks_out_unless_asked_for(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await job_in(api, ledger, State.FAILED)
    answer = await api.get("/v1/jobs")
    del job["attempts"]
    assert answer.json()["jobs"] == [job]
    assert job["error"] == {"type": "ValueError", "message": "no luck"}
    assert "Traceback" not in answer.text
    assert (await api.get("/v1/jobs?expand=attempts&expand=attempts")).json()["jobs"][0]["attempts"]


@on_sqlite
async def test_jobs_are_filtered_by_each_state(api: httpx.AsyncClient, ledger: Ledger) -> None:
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


async def paged(api: httpx.AsyncClient, **params: Any) -> list[str]:
    """Read a list to its end, page by page."""
    found: list[str] = []
    while True:
        page = (await api.get("/v1/jobs", params=params)).json()
        found += [job["id"] for job in page["jobs"]]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


async def test_pages_of_large_jobs_are_shorter_and_show_each_job_once(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ledger.reads.pages.PAGE_BYTES", 1_000)
    monkeypatch.setattr("service.ledger.reads.pages._READ_AT_ONCE", 3)
    for _ in range(2):
        await job_in(api, ledger, State.FAILED)
    for size in (10, 250, 10, 250, 10, 10, 10):
        await post(api, subject="s" * size)
    newest_first = await paged(api, limit=1000)
    assert len(newest_first) == 9
    for params in ({"limit": 3}, {"limit": 4, "expand": "attempts"}, {"limit": 9}, {"limit": 8}):
        assert await paged(api, **params) == newest_first, params
    page = (await api.get("/v1/jobs", params={"expand": "attempts", "state": "failed"})).json()
    assert len(page["jobs"]) == 1  # its attempts alone may be larger
    assert page["next_cursor"]


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
    forged([MOMENT, 7, False, False]),
    forged([MOMENT, "a\0b", False, False]),
    forged([MOMENT, "\ud800", False, False]),
    forged(["2026-01-01T00:00:00", "naive", False, False]),
    forged(["0001-01-01T00:00:00+14:00", "before all time", False, False]),
    forged(["noon", "x", False, False]),
    forged([1767225600, "x", False, False]),
    base64.urlsafe_b64encode(b"[" * 20_000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
]


async def test_cursor_that_is_not_ours_is_refused(api: httpx.AsyncClient) -> None:
    answers = {cursor: await api.get("/v1/jobs", params={"cursor": cursor}) for cursor in BAD_CURSORS}
    assert {cursor: answer.status_code for cursor, answer in answers.items()} == dict.fromkeys(BAD_CURSORS, 422)
    for answer in answers.values():
        assert_problem(answer, 422)


BAD_PARAMS: list[dict[str, Any]] = [
    {"limit": 0},
    {"limit": 1001},
    {"limit": "x"},
    {"state": "done"},
    {"created_after": "yesterday"},
    {"created_after": "2026-01-01T00:00:00"},
    {"created_before": "0001-01-01T00:00:00+14:00"},
    {"created_after": "9999-12-31T23:59:59-14:00"},
    {"created_after": 1767225600},
    {"finished_after": "1767225600.5"},
    {"finished_before": "2026-02-30T00:00:00Z"},
    {"created_before": "2026-01-01"},
    {"order": "newest"},
    {"expand": "everything"},
    {"tag": ["a", "b"]},
    {"limit": [1, 2]},
    {"order": ["asc", "asc"]},
    {"cursor": ["", ""]},
    {"state": ["failed", "done"]},
    {"kind": [str(number) for number in range(21)]},
    {"error_type": "a\0b"},
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
async def test_an_unknown_filter_is_refused_and_the_nearest_one_is_named(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await api.get("/v1/jobs", params={"status": "failed", "limit": 5}), 422)
    assert problem["detail"] == "There is no query parameter 'status' here. Did you mean 'state'?"
    problem = assert_problem(await api.get("/v1/jobs", params={"zzz": "1"}), 422)
    assert problem["detail"].endswith(
        "Known: args.<path>, created_after, created_before, cursor, error_type, expand, fingerprint,"
        " finished_after, finished_before, flow, kind, lane, limit, metadata.<path>, order, q, queue, state, tag."
    )


async def test_a_filter_sent_several_times_asks_for_any_of_its_values(api: httpx.AsyncClient, ledger: Ledger) -> None:
    of = {state: await job_in(api, ledger, state) for state in State}
    await api.post("/v1/jobs", json={"kind": "cleanup", "delay": 3600})
    wanted = [State.FAILED, State.CANCELLED, State.SUCCEEDED]
    newest_first = [of[state]["id"] for state in State if state in wanted][::-1]
    assert await ids(api, state=wanted) == newest_first
    assert await ids(api, state=wanted, kind=["update_stats", "nope"]) == newest_first
    assert await ids(api, kind=["nope", "update_stats"]) == [of[state]["id"] for state in State][::-1]
    assert await ids(api, queue=["nope", "default"], state="failed") == [of[State.FAILED]["id"]]
    assert await ids(api, state=["failed", "failed"]) == [of[State.FAILED]["id"]]
    assert await paged(api, state=wanted, limit=1) == newest_first
    assert await paged(api, state=wanted, limit=2, order="asc") == newest_first[::-1]


@on_sqlite
async def test_an_empty_value_matches_nothing_whatever_stands_beside_it(api: httpx.AsyncClient) -> None:
    job = await post(api)
    assert await ids(api, state="queued") == [job["id"]]
    for name in ("tag", "lane", "flow", "kind", "queue", "error_type"):
        assert await ids(api, state="queued", **{name: ""}) == []
        assert await ids(api, **{name: ""}) == []


async def test_jobs_are_found_by_the_type_of_their_error(api: httpx.AsyncClient, ledger: Ledger) -> None:
    failed, retrying = [await job_in(api, ledger, state) for state in (State.FAILED, State.RETRYING)]
    await job_in(api, ledger, State.SUCCEEDED)
    other = await job_in(api, ledger, State.FAILED)
    long = "E" * 5_000
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == other["id"]).values(error_type=long))
    assert await ids(api, error_type="ValueError") == [retrying["id"], failed["id"]]
    assert await ids(api, error_type="ValueError", state="failed") == [failed["id"]]
    assert await ids(api, error_type=["nope", long]) == [other["id"]]
    assert await ids(api, error_type="E" * 4_999) == []
    assert await paged(api, error_type=["ValueError", long], limit=1) == [other["id"], retrying["id"], failed["id"]]


async def test_jobs_are_found_by_their_end_and_listed_in_its_order(api: httpx.AsyncClient, ledger: Ledger) -> None:
    first, second, third = [await post(api) for _ in range(3)]
    await post(api)
    ended = []
    for job, state in ((second, State.FAILED), (third, State.SUCCEEDED), (first, State.FAILED)):
        await end(ledger, await begin(ledger, job), Outcome(state), state)
        ended.append(await get(api, job["id"]))
    names = [job["id"] for job in ended]
    before_all = ended[0]["created_at"]
    assert await ids(api, finished_after=before_all) == names[::-1]
    assert await ids(api, finished_after=before_all, order="asc") == names
    assert await ids(api, finished_after=ended[0]["finished_at"]) == names[:0:-1]
    assert await ids(api, finished_before=ended[2]["finished_at"]) == names[1::-1]
    assert await ids(api, finished_after=before_all, state=["failed", "queued"]) == [names[2], names[0]]
    assert await ids(api, finished_after=before_all, state="succeeded", kind="update_stats") == [names[1]]
    assert await ids(api, finished_after=before_all, state="running") == []
    assert await ids(api, finished_after=before_all, error_type="ValueError") == [names[2], names[0]]
    for wanted in ({}, {"order": "asc"}, {"state": ["failed", "succeeded"]}):
        whole = await ids(api, finished_after=before_all, **wanted)
        assert await paged(api, finished_after=before_all, limit=1, **wanted) == whole


@on_sqlite
async def test_cursor_of_a_list_in_another_order_is_refused(api: httpx.AsyncClient) -> None:
    for _ in range(2):
        await post(api)
    cursor = (await api.get("/v1/jobs", params={"limit": 1})).json()["next_cursor"]
    for other in ({"order": "asc"}, {"finished_after": "2026-01-01T00:00:00Z"}):
        problem = assert_problem(await api.get("/v1/jobs", params={"cursor": cursor, **other}), 422)
        assert problem["type"] == "urn:postlude:problem:bad-cursor"


@on_sqlite
async def test_time_whose_plus_was_not_encoded_is_understood(api: httpx.AsyncClient) -> None:
    job = await post(api)
    assert (await api.get("/v1/jobs?created_after=2026-01-01T00:00:00+00:00")).json()["jobs"][0]["id"] == job["id"]
    assert await ids(api, created_before="2026-01-01T00:00:00+00:00") == []
