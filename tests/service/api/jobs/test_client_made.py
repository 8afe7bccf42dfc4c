"""Ids that clients make, and what else makes a request safe to send again: unique keys, replacing, debouncing."""

import asyncio
import json
import time
from typing import Any

import httpx
import pytest
import uuid_utils
from redis.asyncio import Redis

from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from tests.service.api.driving import (
    assert_problem,
    begin,
    but_for_waiting,
    count,
    end,
    get,
    on_sqlite,
    post,
    stat,
)

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


def new_id() -> str:
    return str(uuid_utils.uuid7())


def at(ms: int) -> str:
    """Make a UUIDv7 of a moment."""
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}-7abc-8def-0123456789ab"


async def test_the_same_id_and_body_are_the_same_job_and_another_body_is_refused(api: httpx.AsyncClient) -> None:
    body = stat(id=new_id(), tags=["t"], delay=60)
    first = await api.post("/v1/jobs", json=body)
    assert first.status_code == 202
    assert first.json()["id"] == body["id"]
    other_order = json.dumps(dict(reversed(body.items())), indent=3)
    again = await api.post("/v1/jobs", content=other_order, headers={"content-type": "application/json"})
    assert again.status_code == 200
    assert but_for_waiting(again.json()) == but_for_waiting(await get(api, body["id"]))
    assert again.headers["location"] == f"/v1/jobs/{body['id']}"
    problem = assert_problem(await api.post("/v1/jobs", json=body | {"delay": 61}), 409)
    assert problem["type"] == "urn:postlude:problem:id-taken"
    assert await count(api) == 1


async def test_a_change_of_the_job_makes_its_request_no_other(api: httpx.AsyncClient) -> None:
    body = stat(id=new_id(), priority=1)
    await api.post("/v1/jobs", json=body)
    changed = (await api.patch(f"/v1/jobs/{body['id']}", json={"priority": 5})).json()
    again = await api.post("/v1/jobs", json=body)
    assert (again.status_code, again.json()["priority"]) == (200, 5)
    assert_problem(await api.post("/v1/jobs", json=body | {"priority": changed["priority"]}), 409)


async def test_of_the_same_request_sent_at_once_one_is_accepted_and_all_are_answered_with_its_job(
    api: httpx.AsyncClient,
) -> None:
    for _ in range(10):
        body = stat(id=new_id())
        answers = await asyncio.gather(*(api.post("/v1/jobs", json=body) for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
        assert {answer.json()["id"] for answer in answers} == {body["id"]}
    assert await count(api) == 10


async def test_ids_in_a_batch_and_in_a_flow_are_those_that_the_client_made(api: httpx.AsyncClient) -> None:
    one, two = new_id(), new_id()
    jobs = [stat(id=one), stat(), stat(id=two)]
    first = (await api.post("/v1/jobs/batch", json={"jobs": jobs})).json()["jobs"]
    again = (await api.post("/v1/jobs/batch", json={"jobs": jobs})).json()["jobs"]
    assert [job["id"] for job in (first[0], first[2])] == [one, two] == [job["id"] for job in (again[0], again[2])]
    assert first[1]["id"] != again[1]["id"]
    assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat(), stat("other", id=one)]}), 409)
    assert await count(api) == 4
    flow = {"jobs": [stat(name="a", id=new_id()), stat(name="b", after=["a"])]}
    made = (await api.post("/v1/flows", json=flow)).json()["jobs"]
    assert made["a"] == flow["jobs"][0]["id"]


@on_sqlite
@pytest.mark.parametrize(
    "bad",
    [
        "x",
        "",
        "c7f7a618-bc5a-4a19-923b-3f24d265a642",
        pytest.param(at(int(time.time() * 1000) + 90_000_000), id="more than a day ahead"),
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "{" + at(1) + "}",
        at(1).replace("-", ""),
        at(1) + "\n",
        at(1).replace("-8", "-c"),
        7,
    ],
)
async def test_an_id_that_is_no_uuid7_or_lies_ahead_is_refused(api: httpx.AsyncClient, bad: Any) -> None:
    problem = assert_problem(await api.post("/v1/jobs", json=stat(id=bad)), 422)
    assert [error["loc"] for error in problem["errors"]] == [["id"]]


@on_sqlite
async def test_an_id_of_any_past_and_in_capitals_is_taken(api: httpx.AsyncClient) -> None:
    assert (await post(api, id=at(0)))["id"] == at(0)
    upper = new_id().upper()
    assert (await post(api, id=upper))["id"] == upper.lower()
    assert (await post(api, id=at(int(time.time() * 1000) + 80_000_000)))["state"] == "queued"


async def test_debouncing_moves_a_waiting_job_and_replacing_leaves_its_time(
    api: httpx.AsyncClient, redis: Redis
) -> None:
    first = await post(api, unique_key="k", subject="one", delay=20)
    score = await redis.zscore("arq:queue", first["id"])
    replaced = await api.post("/v1/jobs", json=stat("two", unique_key="k", on_conflict="replace", tags=["t"]))
    assert replaced.status_code == 200
    job = replaced.json()
    assert (job["id"], job["args"]["subject"], job["tags"]) == (first["id"], "two", ["t"])
    assert (job["run_at"], job["state"]) == (first["run_at"], "scheduled")
    assert await redis.zscore("arq:queue", first["id"]) == score
    debounced = await api.post("/v1/jobs", json=stat("three", unique_key="k", on_conflict="debounce", delay=25))
    assert debounced.json()["run_at"] > first["run_at"]
    assert (await redis.zscore("arq:queue", first["id"]) or 0) > (score or 0)
    due = await api.post("/v1/jobs", json=stat("four", unique_key="k", on_conflict="debounce"))
    assert due.json()["state"] == "queued"
    assert (await redis.zscore("arq:queue", first["id"]) or 0) <= time.time() * 1000
    assert await count(api) == 1


async def test_a_change_that_comes_too_late_is_told(api: httpx.AsyncClient, ledger: Ledger) -> None:
    first = await post(api, unique_key="k")
    started = await begin(ledger, first)
    for on_conflict in ("replace", "debounce"):
        problem = assert_problem(await api.post("/v1/jobs", json=stat(unique_key="k", on_conflict=on_conflict)), 409)
        assert problem["type"] == "urn:postlude:problem:unique-key-running"
    assert (await api.post("/v1/jobs", json=stat(unique_key="k"))).status_code == 200
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    assert (await api.post("/v1/jobs", json=stat(unique_key="k", on_conflict="debounce"))).status_code == 202


async def test_a_key_that_is_held_beyond_the_end_gives_the_job_that_has_ended(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await post(api, unique_key="k", unique_for=3600)
    await end(ledger, await begin(ledger, first), Outcome.SUCCEEDED, State.SUCCEEDED)
    again = await api.post("/v1/jobs", json=stat(unique_key="k", unique_for=1))
    assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, first["id"], "succeeded")
    batch = (await api.post("/v1/jobs/batch", json={"jobs": [stat(unique_key="k", unique_for=1)]})).json()
    assert batch["jobs"][0]["id"] == first["id"]
    assert await count(api) == 1


@on_sqlite
@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"on_conflict": "replace"}, []),
        ({"unique_for": 5}, []),
        ({"unique_key": "k", "on_conflict": "overwrite"}, ["on_conflict"]),
        ({"unique_key": "k", "unique_for": 0}, ["unique_for"]),
        ({"unique_key": "k", "unique_for": "5"}, ["unique_for"]),
        ({"retry": {"base": -1}}, ["retry", "base"]),
        ({"retry": {"delays": []}}, ["retry", "delays"]),
        ({"retry": {"delays": [1] * 101}}, ["retry", "delays"]),
        ({"retry": {"delays": [1], "base": 2}}, ["retry"]),
        ({"retry": {"base": 20, "cap": 10}}, ["retry"]),
        ({"retry": {"max_duration": 0}}, ["retry", "max_duration"]),
        ({"retry": {"jitter": 1}}, ["retry", "jitter"]),
        ({"retry": 5}, ["retry"]),
    ],
)
async def test_options_that_do_not_fit_are_refused_where_they_stand(
    api: httpx.AsyncClient, options: dict[str, Any], where: list[str]
) -> None:
    problem = assert_problem(await api.post("/v1/jobs", json=stat(**options)), 422)
    assert where in [error["loc"] for error in problem["errors"]]


@on_sqlite
async def test_delays_say_how_many_attempts_there_are_unless_the_request_does(api: httpx.AsyncClient) -> None:
    kind = (await post(api))["max_attempts"]
    for retry, max_attempts, told in (
        ({"delays": [1, 2, 3, 4]}, None, 5),
        ({"delays": [1, 2, 3, 4]}, 2, 2),
        ({"base": 1}, None, kind),
        ({"max_duration": 60}, None, kind),
        ({}, None, kind),
    ):
        options = {"retry": retry} | ({} if max_attempts is None else {"max_attempts": max_attempts})
        assert (await post(api, **options))["max_attempts"] == told
