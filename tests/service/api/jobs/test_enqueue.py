"""How jobs come in."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
from redis.asyncio import Redis
from sqlalchemy import RowMapping, select

from service.ledger.ledger import Ledger
from service.options import Options
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import (
    JOB_FIELDS,
    SECRET,
    assert_problem,
    but_for_waiting,
    get,
    on_sqlite,
    post,
    stat,
    webhook,
)
from tests.support.running import running_api


async def test_accepted_job_is_answered_with_its_place_and_every_field_of_the_contract(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/jobs", json=stat("home"))
    assert response.status_code == 202
    assert response.headers["content-type"] == "application/json"
    job = response.json()
    assert list(job) == JOB_FIELDS
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["kind"] == "update_stats"
    assert job["state"] == "queued"
    assert job["args"] == {
        "subject": "home",
        "event": "view",
        "count": 1,
        "at": None,
        "id": None,
        "unique": None,
        "events": [],
    }
    assert but_for_waiting((await api.get(response.headers["location"])).json()) == but_for_waiting(job)


async def test_accepted_job_is_on_the_queue_without_its_args(api: httpx.AsyncClient, redis: Redis) -> None:
    job = await post(api, subject="home")
    assert await redis.zscore("arq:queue", job["id"]) is not None
    payload = json.loads(await redis.get(f"arq:job:{job['id']}") or b"")
    assert payload["f"] == "update_stats"
    assert (payload["a"], payload["k"]) == ([], {})
    assert await redis.ttl(f"arq:job:{job['id']}") == -1


@on_sqlite
async def test_every_option_is_recorded(settings: Settings, ledger: Ledger) -> None:
    metadata = {"tenant": 42, "cause": {"é": [1.5, None, "\\u0000"]}}
    shown = {"queue": "slow", "priority": -10, "max_attempts": 7, "tags": ["b", "a"], "metadata": metadata, "lane": "a"}
    kept = {
        "delay": 60,
        "timeout": 1.5,
        "expires_in": 600,
        "unique_key": "k",
        "unique_for": 9,
        "on_conflict": "replace",
    }
    kept |= {"retry": {"delays": [1, 2.5], "max_duration": 60}}
    assert shown.keys() | kept.keys() | {"run_at"} == set(Options._fields)
    async with running_api(settings.model_copy(update={"queues": ("default", "slow")})) as api:
        job = await post(api, **shown | kept | {"tags": ["b", "a", "b"]})
        assert {name: job[name] for name in shown} == shown
        assert await get(api, job["id"]) == job
        row = await get_row(ledger, job["id"])
        assert (row["timeout_s"], row["unique_key"], row["unique_for"]) == (1.5, "k", 9)
        assert json.loads(row["retry"]) == {"delays": [1.0, 2.5], "max_duration": 60.0}
        moments = ("run_at", "expires_at", "retry_until")
        assert [(row[name] - row["created_at"]).total_seconds() for name in moments] == [60, 600, 120]
        at = "2126-01-01T00:00:00.250000Z"
        assert (await post(api, run_at=at))["run_at"] == at


async def get_row(ledger: Ledger, job_id: str) -> RowMapping:
    async with ledger.read() as connection:
        return (await connection.execute(select(jobs).where(jobs.c.id == job_id))).mappings().one()


@on_sqlite
async def test_answer_to_an_enqueue_has_the_same_bytes_as_the_lookup(api: httpx.AsyncClient) -> None:
    data = {"text": "\U0001f3b5 <b> \x01", "big": 10**40, "small": 1e-300, "deep": [[{}]], "none": None}
    options: dict[str, Any] = {
        "tags": ["b", "ü"],
        "metadata": {"ü": 1e-300},
        "priority": -3,
        "max_attempts": 7,
        "delay": 5,
        "lane": {"key": "tenant:ü", "order": "strict"},
    }
    for body in (stat(**options), webhook(data=data, secret=SECRET) | {"delay": 5}):
        accepted = await api.post("/v1/jobs", json=body)
        found = await api.get(accepted.headers["location"])
        assert (accepted.status_code, accepted.content) == (202, found.content)


@on_sqlite
async def test_metadata_of_a_batch_is_shown_with_each_job_and_is_empty_where_none_was_sent(
    api: httpx.AsyncClient,
) -> None:
    batch = {"jobs": [stat(metadata={"n": 1}), stat(metadata={}), stat()]}
    accepted = (await api.post("/v1/jobs/batch", json=batch)).json()["jobs"]
    assert [(await get(api, job["id"]))["metadata"] for job in accepted] == [{"n": 1}, {}, {}]


@on_sqlite
async def test_metadata_that_is_too_large_is_refused_with_both_sizes(api: httpx.AsyncClient) -> None:
    refused = await api.post("/v1/jobs", json=stat(metadata={"note": "n" * 5000}))
    (error,) = assert_problem(refused, 422)["errors"]
    assert error["loc"][-1] == "metadata"
    assert "metadata may have 4096 bytes as JSON, and has 5011" in error["msg"]


@on_sqlite
async def test_delayed_job_is_scheduled(api: httpx.AsyncClient, redis: Redis) -> None:
    job = await post(api, delay=3600)
    wait = datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])
    assert (job["state"], wait) == ("scheduled", timedelta(hours=1))
    assert await redis.zcard("arq:queue") == 0


async def test_run_at_of_another_zone_is_shown_in_utc(api: httpx.AsyncClient) -> None:
    job = await post(api, run_at="2031-01-01T01:30:00+02:00")
    assert (job["state"], job["run_at"]) == ("scheduled", "2030-12-31T23:30:00.000000Z")
    assert await get(api, job["id"]) == job


@on_sqlite
async def test_run_at_in_the_past_means_now(api: httpx.AsyncClient) -> None:
    job = await post(api, run_at="2001-01-01T00:00:00Z")
    assert (job["state"], job["run_at"]) == ("queued", job["created_at"])


@on_sqlite
async def test_args_may_be_left_out_where_all_have_defaults(api: httpx.AsyncClient) -> None:
    response = await api.post("/v1/jobs", json={"kind": "cleanup"})
    assert response.status_code == 202
    assert response.json()["args"] == {"older_than_days": None, "dry_run": False}


@on_sqlite
async def test_two_hundred_parallel_jobs_are_all_dispatched_at_once(api: httpx.AsyncClient, redis: Redis) -> None:
    async with AsyncExitStack() as stack:  # a client with 200 connections looks at all of them again for each
        client = partial(httpx.AsyncClient, base_url=api.base_url, trust_env=False, timeout=30)
        crowd = [await stack.enter_async_context(client()) for _ in range(10)]
        jobs = await asyncio.gather(*(post(one) for one in crowd for _ in range(20)))
    assert {member.decode() for member in await redis.zrange("arq:queue", 0, -1)} == {job["id"] for job in jobs}
