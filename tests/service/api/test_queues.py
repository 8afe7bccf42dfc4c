"""Queues over HTTP: what waits on each, and their pauses."""

from typing import Any

import httpx

from service.ledger.ledger import Ledger
from service.ledger.records.workers import record_registered
from service.ledger.states import State
from service.settings import Settings
from tests.service.api.driving import assert_problem, job_in, on_sqlite
from tests.service.ledger.makers import NOW, enqueue, new_job
from tests.support.running import running_api
from tests.support.writing import writing


async def queues_of(api: httpx.AsyncClient) -> dict[str, Any]:
    return {queue["name"]: queue for queue in (await api.get("/v1/queues")).json()["queues"]}


async def test_queues_show_what_waits_and_runs_and_for_how_long_the_oldest_is_due(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    assert (await queues_of(api))["default"] == {
        "name": "default",
        "waiting": 0,
        "oldest_age": None,
        "running": 0,
        "paused": False,
        "paused_until": None,
    }
    await job_in(api, ledger, State.SCHEDULED)
    assert (await queues_of(api))["default"]["oldest_age"] is None
    for state in (State.RUNNING, State.QUEUED, State.RETRYING, State.SUCCEEDED):
        await job_in(api, ledger, state)
    await enqueue(ledger, new_job(queue="forgotten", run_at=NOW))
    found = await queues_of(api)
    assert (found["default"]["waiting"], found["default"]["running"]) == (3, 1)
    assert 0 <= found["default"]["oldest_age"] < 60
    assert (found["forgotten"]["waiting"], found["forgotten"]["oldest_age"] > 3600) == (1, True)


async def test_a_queue_that_only_another_worker_knows_is_listed_too(settings: Settings, ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        now = await ledger.database.now(connection)
        worker = {"id": "w", "hostname": "here", "pid": 1, "queues": "default,slow"}
        await connection.run_sync(lambda sync: record_registered(sync, now, **worker))
    async with running_api(settings) as api:
        assert list(await queues_of(api)) == ["default", "slow"]
        assert (await api.post("/v1/queues/slow/pause")).json()["paused"] is True


async def test_a_queue_is_paused_for_a_while_or_for_good_and_resumed(api: httpx.AsyncClient) -> None:
    paused = await api.post("/v1/queues/default/pause")
    assert (paused.status_code, paused.json()["paused"], paused.json()["paused_until"]) == (200, True, None)
    assert (await api.post("/v1/queues/default/pause", json={"for": 60})).json()["paused_until"].endswith("Z")
    assert (await queues_of(api))["default"]["paused"] is True
    for _ in range(2):
        resumed = await api.post("/v1/queues/default/resume")
        assert (resumed.status_code, resumed.json()["paused"]) == (200, False)
    assert (await queues_of(api))["default"]["paused"] is False


@on_sqlite
async def test_an_unknown_queue_is_refused_with_the_names_of_those_there_are(api: httpx.AsyncClient) -> None:
    for action in ("pause", "resume"):
        refused = assert_problem(await api.post(f"/v1/queues/defualt/{action}"), 404)
        assert refused["type"] == "urn:postlude:problem:queue-not-found"
        assert "Known queues: default." in refused["detail"]
