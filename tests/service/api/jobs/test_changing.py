import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uuid_utils
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.reads.jobs import stored_args
from service.ledger.states import State
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import (
    MASK,
    assert_problem,
    begin,
    get,
    job_in,
    on_sqlite,
    post,
    webhook,
    with_redis_away,
)
from tests.support.running import running_api
from tests.support.writing import writing

# What the ledger does is tested on each database below: records/test_changed.py.
pytestmark = pytest.mark.short("sqlite")

UNSTARTED = (State.SCHEDULED, State.QUEUED, State.RETRYING, State.BLOCKED)


async def patch(api: httpx.AsyncClient, job_id: str, **changes: Any) -> dict[str, Any]:
    response = await api.patch(f"/v1/jobs/{job_id}", json=changes)
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


async def in_state(api: httpx.AsyncClient, ledger: Ledger, state: State, **fields: Any) -> dict[str, Any]:
    if state is not State.BLOCKED:
        return await job_in(api, ledger, state, **fields)
    job = await post(api, **fields)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job["id"]).values(state=State.BLOCKED))
    return await get(api, job["id"])


@pytest.mark.parametrize("state", UNSTARTED)
async def test_what_is_sent_is_changed_and_nothing_else(api: httpx.AsyncClient, ledger: Ledger, state: State) -> None:
    before = await in_state(api, ledger, state, tags=["a"], metadata={"x": 1}, timeout=5)
    changes: dict[str, Any] = {
        "priority": 7,
        "args": {
            "subject": "other",
            "event": "click",
            "count": 3,
            "at": None,
            "id": None,
            "unique": None,
            "events": [],
        },
        "max_attempts": 9,
        "tags": ["b", "c"],
        "metadata": {"y": {"é": [1, None]}},
    }
    job = await patch(api, before["id"], **changes)
    waits = {"waiting_for": job["waiting_for"]}
    assert job == before | changes | waits
    assert await get(api, before["id"]) == job


@pytest.mark.parametrize("state", [state for state in State if state not in UNSTARTED])
async def test_a_job_that_runs_or_has_ended_is_not_changed(
    api: httpx.AsyncClient, ledger: Ledger, state: State
) -> None:
    job = await job_in(api, ledger, state)
    problem = assert_problem(await api.patch(f"/v1/jobs/{job['id']}", json={"priority": 1}), 409)
    assert problem["type"] == "urn:postlude:problem:state-forbids"
    assert state in problem["detail"]
    assert await get(api, job["id"]) == job


async def test_null_gives_a_job_what_it_would_have_had(api: httpx.AsyncClient) -> None:
    job = await post(api, priority=3, delay=3600, max_attempts=7, timeout=2, tags=["t"], metadata={"a": 1}, lane="l")
    plain = await post(api)
    names = ("priority", "queue", "max_attempts", "tags", "metadata", "lane", "lanes", "state")
    changed = await patch(
        api,
        job["id"],
        run_at=None,
        **dict.fromkeys(("priority", "queue", "max_attempts", "timeout", "tags", "metadata", "lane")),
    )
    assert {name: changed[name] for name in names} == {name: plain[name] for name in names}
    assert changed["run_at"] >= plain["run_at"]


@on_sqlite
@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, []),
        ({"priority": "3"}, ["priority"]),
        ({"priority": 11}, ["priority"]),
        ({"delay": 3}, ["delay"]),
        ({"kind": "update_stats"}, ["kind"]),
        ({"id": "x"}, ["id"]),
        ({"unique_key": "k"}, ["unique_key"]),
        ({"state": "running"}, ["state"]),
        ({"queue": "nobody-works-it"}, ["queue"]),
        ({"queue": ""}, ["queue"]),
        ({"run_at": 5}, ["run_at"]),
        ({"timeout": 0}, ["timeout"]),
        ({"max_attempts": 0}, ["max_attempts"]),
        ({"tags": [""]}, ["tags", 0]),
        ({"metadata": {"x": "y" * 5000}}, ["metadata"]),
        ({"lane": "kind:x"}, ["lane", "key"]),
        ({"args": None}, ["args"]),
        ({"args": {}}, ["args", "subject"]),
        ({"args": {"subject": "s", "event": "e", "subjekt": 1}}, ["args", "subjekt"]),
        ({"args": {"subject": "s", "event": "e", "count": "many"}}, ["args", "count"]),
    ],
)
async def test_what_does_not_fit_is_refused_where_it_stands(
    api: httpx.AsyncClient, body: dict[str, Any], where: list[Any]
) -> None:
    job = await post(api)
    problem = assert_problem(await api.patch(f"/v1/jobs/{job['id']}", json=body), 422)
    assert where in [error["loc"] for error in problem["errors"]]
    assert await get(api, job["id"]) == job | {"waiting_for": (await get(api, job["id"]))["waiting_for"]}


@on_sqlite
async def test_bodies_that_are_no_change_are_refused_before_and_after_the_job_is_looked_up(
    api: httpx.AsyncClient,
) -> None:
    job = await post(api)
    path = f"/v1/jobs/{job['id']}"
    assert_problem(await api.patch(path, content=b"{"), 400)
    assert_problem(await api.patch(path, content=b"[]"), 422)
    assert_problem(await api.patch(path, content=b'{"tags": ["\\u0000"]}'), 422)
    assert_problem(await api.patch(path, content=b"x" * 2_000_000), 413)
    assert_problem(await api.patch(path, content=b"priority=1", headers={"content-type": "text/plain"}), 415)
    assert_problem(await api.patch(f"/v1/jobs/{uuid_utils.uuid7()}", json={"priority": 1}), 404)
    assert_problem(await api.patch("/v1/jobs/batch", json={"priority": 1}), 405)


async def test_new_args_are_masked_and_sealed_as_at_the_door(api: httpx.AsyncClient, ledger: Ledger) -> None:
    secret = "whsec_" + "QUJD" * 8
    job = (await api.post("/v1/jobs", json=webhook(secret=None))).json()
    changed = await patch(api, job["id"], args=webhook(secret=secret)["args"])
    assert changed["args"]["secret"] == MASK
    async with ledger.read() as connection:
        assert json.loads((await stored_args(connection, [job["id"]]))[job["id"]].whole)["secret"] == secret
    assert (await patch(api, job["id"], args=webhook()["args"]))["args"]["secret"] is None
    async with ledger.read() as connection:
        assert secret not in (await stored_args(connection, [job["id"]]))[job["id"]].whole


async def test_the_lane_of_the_kind_follows_the_args_and_that_of_the_request_does_not(api: httpx.AsyncClient) -> None:
    job = (await api.post("/v1/jobs", json=webhook() | {"lane": {"key": "tenant:1", "concurrency": 2}})).json()
    assert job["lanes"] == ["tenant:1", "host:127.0.0.1:9"]
    args = webhook(url="http://10.0.0.1/")["args"]
    assert (await patch(api, job["id"], args=args))["lanes"] == ["tenant:1", "host:10.0.0.1"]
    assert (await patch(api, job["id"], lane=None))["lanes"] == ["host:10.0.0.1"]
    assert (await patch(api, job["id"], lane="host:10.0.0.1"))["lanes"] == ["host:10.0.0.1"]
    assert (await patch(api, job["id"], lane="tenant:2"))["lanes"] == ["tenant:2", "host:10.0.0.1"]
    assert (await patch(api, job["id"], args=webhook()["args"], lane=None))["lanes"] == ["host:127.0.0.1:9"]


async def test_a_changed_job_is_found_by_what_it_has_now(api: httpx.AsyncClient) -> None:
    job = await post(api, tags=["old"], lane="old", metadata={"a": "old"})
    await patch(api, job["id"], tags=["new"], lane="new", metadata={"a": "new"})
    for name in ("tag", "lane", "metadata.a"):
        for value, count in (("old", 0), ("new", 1)):
            assert len((await api.get("/v1/jobs", params={name: value})).json()["jobs"]) == count, (name, value)


async def places(redis: Redis, job_id: str) -> dict[str, float]:
    """Return the sorted sets of Redis that hold an id, with its scores."""
    found = {}
    async for key in redis.scan_iter():
        if await redis.type(key) == b"zset" and (score := await redis.zscore(key, job_id)) is not None:
            found[key.decode()] = score
    return found


async def test_the_id_stands_where_the_job_waits_now_and_nowhere_else(settings: Settings, redis: Redis) -> None:
    async with running_api(settings.model_copy(update={"queues": ("default", "slow")})) as api:
        job = await post(api)
        at = (await places(redis, job["id"]))["arq:queue"]
        assert await places(redis, (await patch(api, job["id"], queue="slow"))["id"]) == {"arq:queue:slow": at}
        await patch(api, job["id"], priority=2)
        assert await places(redis, job["id"]) == {"arq:queue:slow": at - 1_200_000}
        await patch(api, job["id"], lane="tenant:1", queue=None)
        assert [key for key in await places(redis, job["id"]) if "tenant:1" in key] == list(
            await places(redis, job["id"])
        )
        await patch(api, job["id"], lane=None, priority=None)
        assert await places(redis, job["id"]) == {"arq:queue": at}
        soon = datetime.now(UTC) + timedelta(seconds=20)
        await patch(api, job["id"], run_at=soon.isoformat())
        assert await places(redis, job["id"]) == {"arq:queue": int(soon.timestamp() * 1000)}
        await patch(api, job["id"], run_at=(soon + timedelta(days=1)).isoformat())
        assert await places(redis, job["id"]) == {}
        await patch(api, job["id"], run_at=None)
        assert (await places(redis, job["id"]))["arq:queue"] <= soon.timestamp() * 1000


@on_sqlite
async def test_a_change_is_recorded_while_redis_is_away(settings: Settings) -> None:
    async with running_api(with_redis_away(settings)) as api:
        job = await post(api)
        assert (await patch(api, job["id"], priority=4))["priority"] == 4
        assert (await api.post(f"/v1/jobs/{job['id']}/run-now")).status_code == 200


@on_sqlite
async def test_a_job_of_a_kind_that_is_gone_can_be_changed_but_for_what_the_kind_says(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    job = await post(api)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(kind="gone"))
    assert (await patch(api, job["id"], priority=1, lane="x", tags=["t"]))["lanes"] == ["x"]
    changes: dict[str, Any]
    for changes in ({"args": {}}, {"queue": None}, {"max_attempts": None}):
        problem = assert_problem(await api.patch(f"/v1/jobs/{job['id']}", json=changes), 422)
        assert problem["type"] == "urn:postlude:problem:kind-unknown"


async def test_a_job_is_run_now_or_it_is_said_why_not(api: httpx.AsyncClient, ledger: Ledger, redis: Redis) -> None:
    async def run_now(job: dict[str, Any], status: int) -> dict[str, Any]:
        response = await api.post(f"/v1/jobs/{job['id']}/run-now")
        return response.json() if status == 200 else assert_problem(response, status)

    scheduled, retrying = await job_in(api, ledger, State.SCHEDULED), await job_in(api, ledger, State.RETRYING)
    for job in (scheduled, retrying):
        due = await run_now(job, 200)
        assert (due["state"], due["attempt"]) == ("queued", job["attempt"])
        assert due["run_at"] < job["run_at"]
        assert await places(redis, job["id"]) == {
            "arq:queue": pytest.approx(datetime.now(UTC).timestamp() * 1e3, abs=9e3)
        }
    again = await run_now(scheduled, 200)
    assert again["run_at"] == (await get(api, scheduled["id"]))["run_at"]
    blocked = await in_state(api, ledger, State.BLOCKED)
    assert "blocked" in (await run_now(blocked, 409))["detail"]
    for state in (State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED):
        assert state in (await run_now(await job_in(api, ledger, state), 409))["detail"]
    await run_now({"id": str(uuid_utils.uuid7())}, 404)


async def test_a_job_that_waits_for_another_is_changed_and_goes_on_waiting(api: httpx.AsyncClient) -> None:
    parent = await post(api, delay=3600)
    child = await post(api, after=[parent["id"]])
    assert child["state"] == "blocked"
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat().replace("+00:00", "Z")
    changed = await patch(api, child["id"], run_at=later, priority=4, lane="l", tags=["t"])
    assert (changed["state"], changed["priority"], changed["lanes"]) == ("blocked", 4, ["l"])
    assert changed["waiting_for"] == (await get(api, child["id"]))["waiting_for"] is not None
    problem = assert_problem(await api.post(f"/v1/jobs/{child['id']}/run-now"), 409)
    assert parent["id"] in problem["detail"]


@on_sqlite
async def test_the_log_names_who_changed_what_without_its_values(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings.model_copy(
        update={"api_keys": (SecretStr("key-one"),), "log_level": "INFO", "log_format": "json"}
    )
    async with running_api(settings) as api:
        assert_problem(await api.patch("/v1/jobs/x", json={"priority": 1}), 401)
        assert_problem(await api.post("/v1/jobs/x/run-now"), 401)
        api.headers["Authorization"] = "Bearer key-one"
        job = await post(api, delay=60)
        await patch(api, job["id"], tags=["confidential"], priority=3)
        await api.post(f"/v1/jobs/{job['id']}/run-now")
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"action_taken' in line]
    assert [(line["action"], line.get("changes")) for line in told] == [
        ("change", ["priority", "tags"]),
        ("run_now", None),
    ]
    assert "confidential" not in json.dumps(told)


async def test_changes_at_the_same_moment_as_starts_are_answered_as_they_ended(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    made = [await post(api, subject="old") for _ in range(20)]
    args = {"subject": "new", "event": "view"}
    changing = [asyncio.create_task(api.patch(f"/v1/jobs/{job['id']}", json={"args": args})) for job in made]
    started = [await begin(ledger, job) for job in made]
    for one, answer in zip(started, await asyncio.gather(*changing), strict=True):
        seen = json.loads(one.args)["subject"]
        assert (answer.status_code, seen) in ((200, "new"), (409, "old"))
