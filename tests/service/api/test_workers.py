"""Workers over HTTP: who lives, who drains, who is silent, and what each runs."""

from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.records.workers import (
    record_dead,
    record_ended,
    record_heartbeat,
    record_registered,
    record_rescued,
)
from service.tables import workers
from tests.service.api.driving import assert_problem, get, post
from tests.service.ledger.makers import enqueue, new_job, start
from tests.support.writing import writing


async def register(ledger: Ledger, **ages_s: float) -> None:
    """Register workers whose last heartbeat was this many seconds ago."""
    async with writing(ledger.database) as connection:
        now = await ledger.database.now(connection)
        for name, age_s in ages_s.items():
            worker = {"id": name, "hostname": "node", "pid": 7, "queues": "default,slow", "kinds": '["greet"]'}
            at = now - timedelta(seconds=age_s)
            await connection.run_sync(record_registered, at - timedelta(hours=1), slots=50, version="2.1", **worker)
            await connection.run_sync(record_heartbeat, name, at, 0.5, 1, 94_000_000)


async def states(api: httpx.AsyncClient) -> dict[str, str]:
    return {one["id"]: one["state"] for one in (await api.get("/v1/workers")).json()["workers"]}


async def write(ledger: Ledger, record: Any, *args: Any, **options: Any) -> Any:
    async with writing(ledger.database) as connection:
        return await connection.run_sync(record, *args, **options)


async def test_workers_are_listed_with_what_they_run_drained_and_forgotten(
    api: httpx.AsyncClient, ledger: Ledger
) -> None:
    assert (await api.get("/v1/workers")).json() == {"workers": []}
    await register(ledger, alive=1, quiet=30, ended=1, long_gone=1)
    async with ledger.read() as connection:
        now = await ledger.database.now(connection)
    await write(ledger, record_ended, "ended", now)
    await write(ledger, record_ended, "long_gone", now - timedelta(hours=2))
    job = new_job()
    await enqueue(ledger, job)
    assert await start(ledger, job.id, "alive")
    assert await states(api) == {"quiet": "silent", "alive": "alive", "ended": "ended"}

    shown = (await api.get("/v1/workers/alive")).json()
    [running] = shown.pop("jobs")
    assert (running["id"], running["kind"], running["attempt"]) == (job.id, "greet", 1)
    facts = ("hostname", "pid", "version", "queues", "kinds", "slots", "running", "loop_lag", "hung_threads")
    assert [shown[name] for name in facts] == ["node", 7, "2.1", ["default", "slow"], ["greet"], 50, 1, 0.5, 1]
    assert (shown["memory_bytes"], shown["ended_at"], shown["is_dead"]) == (94_000_000, None, False)
    assert shown["oldest_running_at"] == running["started_at"]
    assert (await api.get("/v1/workers/long_gone")).json()["state"] == "ended", "found by its id"
    assert assert_problem(await api.get("/v1/workers/nobody"), 404)["type"].endswith("worker-not-found")
    assert assert_problem(await api.get(f"/v1/workers/{'x' * 65}"), 404)["type"].endswith("worker-not-found")

    drained = (await api.post("/v1/workers/alive/drain")).json()
    waiting = await post(api)
    assert "every living worker is draining" in (await get(api, waiting["id"]))["waiting_for"]
    assert (await api.get("/readyz")).json()["checks"]["workers"].startswith("every worker is draining")
    assert (drained["state"], (await api.post("/v1/workers/alive/drain")).json()["drain_at"]) == (
        "draining",
        drained["drain_at"],
    )
    assert assert_problem(await api.post("/v1/workers/ended/drain"), 409)["type"].endswith("worker-ended")
    assert assert_problem(await api.post("/v1/workers/nobody/drain"), 404)["type"].endswith("worker-not-found")

    refused = assert_problem(await api.post("/v1/workers/quiet/forget"), 409)
    assert (refused["type"].rpartition(":")[2], "not yet declared dead" in refused["detail"]) == ("worker-lives", True)
    assert assert_problem(await api.post("/v1/workers/ended/forget"), 409)["type"].endswith("worker-lives")
    async with writing(ledger.database) as connection:
        since = update(workers).where(workers.c.id == "alive")
        await connection.execute(since.values(beating_since=now - timedelta(hours=1), heartbeat_at=now))
    assert await write(ledger, record_dead, "alive", now) == ["quiet"]
    await write(ledger, record_rescued, {"quiet": 12})
    quiet = (await api.get("/v1/workers/quiet")).json()
    assert (quiet["state"], quiet["is_dead"], quiet["rescued"]) == ("silent", True, 12)
    assert (await api.post("/v1/workers/quiet/forget")).status_code == 200
    assert await states(api) == {"alive": "draining", "ended": "ended"}
