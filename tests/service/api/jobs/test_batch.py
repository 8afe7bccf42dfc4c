"""`POST /v1/jobs/batch`."""

from typing import Any

import httpx
import uuid_utils
from redis.asyncio import Redis

from tests.service.api.driving import assert_problem, count, get, on_sqlite, post, stat


async def batch(api: httpx.AsyncClient, *bodies: dict[str, Any], key: str | None = None) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.post("/v1/jobs/batch", json={"jobs": bodies}, headers=headers)


async def test_jobs_of_a_batch_are_answered_in_order_and_dispatched(api: httpx.AsyncClient, redis: Redis) -> None:
    response = await batch(api, stat("a", tags=["x"]), {"kind": "cleanup"}, stat("c", delay=3600))
    assert response.status_code == 202
    jobs = response.json()["jobs"]
    assert [(job["kind"], job["state"]) for job in jobs] == [
        ("update_stats", "queued"),
        ("cleanup", "queued"),
        ("update_stats", "scheduled"),
    ]
    shown = [await get(api, job["id"]) for job in jobs]
    assert shown[0]["tags"] == ["x"]
    assert [job["args"].get("subject") for job in shown] == ["a", None, "c"]
    assert {member.decode() for member in await redis.zrange("arq:queue", 0, -1)} == {jobs[0]["id"], jobs[1]["id"]}


@on_sqlite
async def test_one_bad_job_refuses_the_whole_batch(api: httpx.AsyncClient) -> None:
    for bad in (stat(queue="nope"), {"kind": "nope"}, stat(priority=99), stat("\0"), stat(nope=1), None):
        assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat(), bad, stat()]}), 422)
    assert await count(api) == 0


@on_sqlite
async def test_refusal_says_which_job_is_bad(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await batch(api, stat(), stat(), {"kind": "update_stats", "args": {"event": "e"}}), 422)
    assert [error["loc"] for error in problem["errors"]] == [["jobs", 2, "args", "subject"]]


@on_sqlite
async def test_refusal_stays_short_however_much_is_bad(api: httpx.AsyncClient) -> None:
    problem = assert_problem(await batch(api, *[{"kind": "update_stats", "args": {}}] * 5_000), 422)
    assert len(problem["errors"]) == 100


async def test_ten_thousand_jobs_are_accepted_at_once(api: httpx.AsyncClient, redis: Redis) -> None:
    response = await batch(api, *[stat()] * 10_000)
    assert response.status_code == 202
    ids = {job["id"] for job in response.json()["jobs"]}
    assert len(ids) == await redis.zcard("arq:queue") == 10_000
    assert "postlude_jobs_waiting 10000.0" in (await api.get("/metrics")).text


@on_sqlite
async def test_empty_oversized_or_malformed_batch_is_refused(api: httpx.AsyncClient) -> None:
    assert_problem(await batch(api), 422)
    assert_problem(await batch(api, *[stat()] * 10_001), 422)
    for body in ({}, [stat()], {"jobs": stat()}, {"jobs": None}, {"jobs": [stat()], "nope": 1}, stat()):
        assert_problem(await api.post("/v1/jobs/batch", json=body), 422)
    assert await count(api) == 0


@on_sqlite
async def test_same_key_and_batch_give_the_same_answer(api: httpx.AsyncClient) -> None:
    first = await batch(api, stat("a"), stat("b"), key="k")
    again = await batch(api, stat("a"), stat("b"), key="k")
    assert (again.status_code, again.content) == (202, first.content)
    assert_problem(await batch(api, stat("a"), key="k"), 422)
    assert await count(api) == 2


async def test_job_whose_unique_key_is_held_stands_for_its_holder(api: httpx.AsyncClient) -> None:
    holder = await post(api, unique_key="u")
    response = await batch(api, stat("a", unique_key="u"), stat("b", unique_key="v"), stat("c", unique_key="v"))
    assert response.status_code == 202
    first, second, third = (job["id"] for job in response.json()["jobs"])
    assert first == holder["id"]
    assert second == third
    assert (await get(api, second))["args"]["subject"] == "b"
    assert await count(api) == 2


async def test_holder_is_told_as_it_is(api: httpx.AsyncClient) -> None:
    job = await post(api, unique_key="u", delay=3600)
    bodies = (stat(unique_key="u"), {"kind": "cleanup", "unique_key": "u"}, stat())
    first, again = [await batch(api, *bodies, key="k") for _ in range(2)]
    for response in (first, again):
        told = [(one["kind"], one["state"]) for one in response.json()["jobs"]]
        assert told == [("update_stats", "scheduled"), ("update_stats", "scheduled"), ("update_stats", "queued")]
        assert response.json()["jobs"][0]["id"] == job["id"]


async def test_holder_that_has_been_replaced_is_told_with_its_new_state(api: httpx.AsyncClient) -> None:
    await post(api, unique_key="u", delay=3600)
    response = await batch(api, stat(unique_key="u", on_conflict="debounce"))
    assert [one["state"] for one in response.json()["jobs"]] == ["queued"]


async def test_job_sent_before_is_told_as_it_is_now(api: httpx.AsyncClient) -> None:
    body = stat(id=str(uuid_utils.uuid7()))
    first = await batch(api, body)
    await api.post(f"/v1/jobs/{body['id']}/cancel")
    assert [one["state"] for one in first.json()["jobs"]] == ["queued"]
    assert [one["state"] for one in (await batch(api, body)).json()["jobs"]] == ["cancelled"]


async def test_repeated_batch_tells_again_that_a_job_is_blocked(api: httpx.AsyncClient) -> None:
    parent = await post(api, delay=3600)
    first, again = [await batch(api, stat(after=[parent["id"]]), stat(), key="k") for _ in range(2)]
    assert [one["state"] for one in first.json()["jobs"]] == ["blocked", "queued"]
    assert again.json() == first.json()


async def test_repeated_batch_names_the_holders_that_it_named_first(api: httpx.AsyncClient) -> None:
    await post(api, unique_key="u")
    for key, bodies in {"some held": [stat(unique_key="u"), stat()], "all held": [stat(unique_key="u")]}.items():
        first = await batch(api, *bodies, key=key)
        again = await batch(api, *bodies, key=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), key
