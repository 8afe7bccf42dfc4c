"""Cancelling and replaying a job."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.ledger.records.kept import Checkpoint, Step
from service.ledger.states import REPLAYABLE, TERMINAL, WAITING, Outcome, State
from service.settings import Settings
from tests.service.api.driving import assert_problem, begin, end, get, job_in, on_sqlite, post
from tests.support.running import running_api


async def test_waiting_job_is_cancelled_at_once(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in WAITING:
        job = await job_in(api, ledger, state)
        response = await api.post(f"/v1/jobs/{job['id']}/cancel")
        assert response.status_code == 200
        assert response.json()["state"] == "cancelled"
        assert response.json()["finished_at"] is not None
        assert response.json() == await get(api, job["id"])


@on_sqlite
async def test_running_job_that_was_cancelled_ends_cancelled_whatever_it_does(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await post(api)
    started = await begin(ledger, job)
    for _ in range(2):  # asking again changes nothing
        response = await api.post(f"/v1/jobs/{job['id']}/cancel")
        assert (response.status_code, response.json()["state"]) == (200, "running")
    await end(ledger, started, Outcome.SUCCEEDED, State.SUCCEEDED)
    assert (await get(api, job["id"]))["state"] == "cancelled"


@on_sqlite
async def test_job_that_has_ended_is_not_cancelled(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in TERMINAL:
        job = await job_in(api, ledger, state)
        assert state in assert_problem(await api.post(f"/v1/jobs/{job['id']}/cancel"), 409)["detail"]
        assert await get(api, job["id"]) == job


async def test_failed_and_cancelled_jobs_are_replayed_under_their_own_id(
    api: httpx.AsyncClient, ledger: Ledger, redis: Redis
) -> None:
    for state in REPLAYABLE:
        job = await job_in(api, ledger, state)
        await redis.delete("arq:queue")
        response = await api.post(f"/v1/jobs/{job['id']}/replay")
        assert response.status_code == 200
        replayed = response.json()
        assert (replayed["id"], replayed["state"]) == (job["id"], "queued")
        assert (replayed["failures"], replayed["error"], replayed["finished_at"]) == (0, None, None)
        assert replayed["attempts"] == job["attempts"]
        assert await redis.zscore("arq:queue", job["id"]) is not None
        assert (await begin(ledger, job)).attempt == job["attempt"] + 1


@on_sqlite
async def test_other_jobs_are_not_replayed(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for state in set(State) - set(REPLAYABLE):
        job = await job_in(api, ledger, state)
        assert state in assert_problem(await api.post(f"/v1/jobs/{job['id']}/replay"), 409)["detail"]
        assert await get(api, job["id"]) == job


async def test_job_that_is_purged_while_it_is_looked_at_is_not_there_any_more(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await job_in(api, ledger, State.CANCELLED)
    stored_args = queries.stored_args

    async def after_a_purge(connection: AsyncConnection, ids: Sequence[str]) -> Mapping[str, queries.StoredArgs]:
        await ledger.purge(timedelta(days=-1), dry_run=False)
        return await stored_args(connection, ids)

    monkeypatch.setattr(queries, "stored_args", after_a_purge)
    assert_problem(await api.post(f"/v1/jobs/{job['id']}/replay"), 404)


async def test_job_whose_unique_key_was_taken_since_is_not_replayed(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job = await job_in(api, ledger, State.FAILED, unique_key="k")
    holder = await post(api, unique_key="k")
    assert_problem(await api.post(f"/v1/jobs/{job['id']}/replay"), 409)
    assert await get(api, job["id"]) == job
    await api.post(f"/v1/jobs/{holder['id']}/cancel")
    assert (await api.post(f"/v1/jobs/{job['id']}/replay")).status_code == 200


@on_sqlite
async def test_log_names_who_cancelled_replayed_or_was_refused_it(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = (SecretStr("key-one"), SecretStr("key-two"))
    settings = settings.model_copy(update={"api_keys": keys, "log_level": "INFO", "log_format": "json"})
    async with running_api(settings) as api:
        api.headers["Authorization"] = "Bearer key-one"
        job = (await post(api, delay=3600))["id"]
        assert (await api.post(f"/v1/jobs/{job}/cancel")).status_code == 200
        api.headers["Authorization"] = "Bearer key-two"
        assert (await api.post(f"/v1/jobs/{job}/cancel")).status_code == 409
        assert (await api.post(f"/v1/jobs/{job}/replay")).status_code == 200
        operation = (await api.post("/v1/jobs/replay", json={"filter": {"tag": "t"}})).json()["operation"]
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"action_' in line]
    assert [(line["event"], line["action"], line["principal"], line["target"]) for line in lines] == [
        ("action_taken", "cancel", "bootstrap", job),
        ("action_refused", "cancel", "bootstrap", job),
        ("action_taken", "replay", "bootstrap", job),
        ("action_taken", "replay", "bootstrap", operation),
    ]
    assert lines[1]["reason"] == "urn:postlude:problem:state-forbids"
    assert lines[3]["filter"] == {"tag": "t"}


async def kept_and_failed(api: httpx.AsyncClient, ledger: Ledger) -> str:
    job = await post(api)
    started = await begin(ledger, job)
    await ledger.keep_step(Step(started.id, started.attempt, "a", "1", started.started_at, started.started_at))
    await ledger.keep_checkpoint(Checkpoint(started.id, started.attempt, "7", started.started_at))
    await end(ledger, started, Outcome.FAILED, State.FAILED)
    return started.id


async def test_a_replay_keeps_the_steps_unless_it_is_to_start_over(api: httpx.AsyncClient, ledger: Ledger) -> None:
    for body in (None, {}, {"from": "last"}):
        path = f"/v1/jobs/{await kept_and_failed(api, ledger)}/replay"
        replayed = (await api.post(path, json=body) if body is not None else await api.post(path)).json()
        assert ([step["name"] for step in replayed["steps"]], replayed["checkpoint"]) == (["a"], 7)
    job_id = await kept_and_failed(api, ledger)
    replayed = (await api.post(f"/v1/jobs/{job_id}/replay", json={"from": "start"})).json()
    assert (replayed["state"], replayed["steps"], replayed["checkpoint"]) == ("queued", [], None)


@on_sqlite
async def test_a_replay_from_elsewhere_is_refused_and_changes_nothing(api: httpx.AsyncClient, ledger: Ledger) -> None:
    job_id = await kept_and_failed(api, ledger)
    wrong: Sequence[object] = ({"from": "middle"}, {"form": "start"}, [])
    for body in wrong:
        assert_problem(await api.post(f"/v1/jobs/{job_id}/replay", json=body), 422)
    assert_problem(await api.post(f"/v1/jobs/{job_id}/replay", content=b"{"), 400)
    job = await get(api, job_id)
    assert (job["state"], len(job["steps"])) == ("failed", 1)
