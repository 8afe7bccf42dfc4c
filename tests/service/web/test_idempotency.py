"""`Idempotency-Key` and `unique_key`."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import Request
from sqlalchemy import select, update

from service.errors import FateUnknown
from service.ledger.ledger import Ledger
from service.ledger.states import Outcome, State
from service.settings import Settings
from service.tables import idempotency_keys
from service.web.idempotency import Idempotency
from tests.service.api.driving import assert_problem, begin, but_for_waiting, count, end, get, on_sqlite, post, stat
from tests.support.running import running_api
from tests.support.writing import writing


def key(value: str) -> dict[str, str]:
    return {"Idempotency-Key": value}


async def test_same_key_and_body_give_the_same_answer_however_far_the_job_is(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    body = stat(tags=["t"], delay=0.5)

    async def send() -> httpx.Response:
        return await api.post("/v1/jobs", json=body, headers=key("k"))

    first = await send()
    assert first.status_code == 202
    again = [await send()]
    started = await begin(ledger, first.json())
    again.append(await send())
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    again.append(await send())
    for answer in again:
        assert (answer.status_code, answer.content) == (202, first.content)
        assert answer.headers["location"] == first.headers["location"]
    assert await count(api) == 1


@on_sqlite
async def test_key_used_with_another_body_is_422(api: httpx.AsyncClient) -> None:
    await api.post("/v1/jobs", json=stat("a"), headers=key("k"))
    problem = assert_problem(await api.post("/v1/jobs", json=stat("b"), headers=key("k")), 422)
    assert problem["type"] == "urn:postlude:problem:idempotency-key-reused"
    assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat("a")]}, headers=key("k")), 422)
    assert await count(api) == 1


@on_sqlite
async def test_keys_differ_and_quoted_and_bare_are_one(api: httpx.AsyncClient) -> None:
    long, quoted = "b" * 255, f'"{"b" * 255}"'
    jobs = {}
    for spelling in ("a", '"a"', "A", "a b", '"', long, quoted):
        response = await api.post("/v1/jobs", json=stat(), headers=key(spelling))
        assert response.status_code == 202
        jobs[spelling] = response.json()["id"]
    assert jobs["a"] == jobs['"a"']
    assert jobs[long] == jobs[quoted]
    assert len(set(jobs.values())) == 5


@on_sqlite
async def test_invalid_idempotency_key_is_refused(api: httpx.AsyncClient) -> None:
    for value in ("", '""', "x" * 256, f'"{"x" * 256}"', "a\tb"):
        assert_problem(await api.post("/v1/jobs", json=stat(), headers=key(value)), 422)
        assert_problem(await api.post("/v1/jobs/batch", json={"jobs": [stat()]}, headers=key(value)), 422)
    assert await count(api) == 0


@on_sqlite
async def test_refused_request_does_not_use_the_key_up(api: httpx.AsyncClient) -> None:
    for bad in (b"{", b"{}", b'{"kind":"nope"}', b" " * (1024 * 1024 + 1)):
        assert (await api.post("/v1/jobs", content=bad, headers=key("k"))).status_code in (400, 413, 422)
    assert (await api.post("/v1/jobs", json=stat(queue="nope"), headers=key("k"))).status_code == 422
    assert (await api.post("/v1/jobs", json=stat(), headers=key("k"))).status_code == 202


async def test_fifty_parallel_requests_at_two_apis_make_one_job(settings: Settings) -> None:
    async with running_api(settings) as one, running_api(settings) as other:
        answers = await asyncio.gather(
            *((one, other)[number % 2].post("/v1/jobs", json=stat(), headers=key("k")) for number in range(50))
        )
        jobs = (await one.get("/v1/jobs")).json()["jobs"]
    assert len(jobs) == 1
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {202, 409}
    assert statuses[202] >= 1
    assert {answer.content for answer in answers if answer.status_code == 202} == {
        next(answer.content for answer in answers if answer.status_code == 202)
    }
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409)
            assert answer.headers["retry-after"] == "1"


@on_sqlite
async def test_live_unique_key_gives_200_and_its_holder_as_it_is(api: httpx.AsyncClient, ledger: Ledger) -> None:
    holder = await post(api, unique_key="u")
    started = await begin(ledger, holder)
    response = await api.post("/v1/jobs", json=stat("other", unique_key="u"))
    assert response.status_code == 200
    assert response.headers["location"] == f"/v1/jobs/{holder['id']}"
    assert response.json() == await get(api, holder["id"])
    assert response.json()["state"] == "running"
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    assert (await post(api, unique_key="u"))["id"] != holder["id"]


async def test_parallel_requests_of_one_unique_key_at_two_apis_make_one_job(settings: Settings) -> None:
    async with running_api(settings) as one, running_api(settings) as other:
        answers = await asyncio.gather(
            *((one, other)[number % 2].post("/v1/jobs", json=stat(unique_key="u")) for number in range(50))
        )
    assert Counter(answer.status_code for answer in answers) == {202: 1, 200: 49}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_both_keys_together(api: httpx.AsyncClient) -> None:
    holder = await post(api, unique_key="u")
    body: dict[str, Any] = stat("other", unique_key="u")
    for _ in range(2):
        response = await api.post("/v1/jobs", json=body, headers=key("k"))
        assert (response.status_code, but_for_waiting(response.json())) == (200, but_for_waiting(holder))
    await api.post(f"/v1/jobs/{holder['id']}/cancel")
    response = await api.post("/v1/jobs", json=body, headers=key("k"))
    assert (response.status_code, response.json()["id"]) == (200, holder["id"])
    assert_problem(await api.post("/v1/jobs", json=stat("third", unique_key="u"), headers=key("k")), 422)
    assert await count(api) == 1


@on_sqlite
async def test_replayed_answer_of_an_own_job_is_202_though_the_unique_key_is_its_own(api: httpx.AsyncClient) -> None:
    first = await api.post("/v1/jobs", json=stat(unique_key="u"), headers=key("k"))
    again = await api.post("/v1/jobs", json=stat(unique_key="u"), headers=key("k"))
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content


async def test_a_key_that_has_expired_may_be_used_for_another_request(api: httpx.AsyncClient, ledger: Ledger) -> None:
    first = await api.post("/v1/jobs", json=stat("a"), headers=key("k"))
    async with writing(ledger.database) as connection:
        held = (await connection.execute(select(idempotency_keys))).one()
        assert held.expires_at - held.created_at == timedelta(hours=24)
        await connection.execute(update(idempotency_keys).values(expires_at=datetime.now(UTC)))
    second = await api.post("/v1/jobs", json=stat("b"), headers=key("k"))
    assert second.status_code == 202
    assert second.json()["id"] != first.json()["id"]
    again = await api.post("/v1/jobs", json=stat("b"), headers=key("k"))
    assert again.content == second.content


@on_sqlite
async def test_key_in_any_script_is_one_key(api: httpx.AsyncClient) -> None:
    for key in ("zoë", "à la carte", "用户"):
        answers = [
            await api.post("/v1/jobs", json=stat(), headers={b"Idempotency-Key": key.encode()}) for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json() == answers[1].json()


def test_only_what_may_carry_a_key_is_refused_with_the_advice_to_use_one() -> None:
    unsure = FateUnknown("The database went away")
    assert unsure.detail == (
        "The database went away: it may be recorded, or not. Check whether it was recorded before you send it again."
    )
    under_way: set[str] = set()
    idempotency = Idempotency("k", Request({"type": "http"}), b"", under_way)
    with pytest.raises(FateUnknown) as refused, idempotency:
        raise unsure from OSError("gone")
    assert refused.value.detail.endswith(" with an Idempotency-Key, and the same each time, it is carried out once.")
    assert isinstance(refused.value.__cause__, OSError)  # the log names it
    assert not under_way
