"""`POST /v1/jobs/replay` as an operation: begun by the API, and continued by others if it dies."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from service.api.jobs import bulk_replay
from service.ledger.ledger import Ledger
from service.ledger.records.workers import record_ended, record_registered
from service.settings import Settings
from tests.service.api.driving import assert_problem
from tests.support.many_jobs import make_jobs, states_of
from tests.support.operating import ended, running_operator
from tests.support.processes import api_process
from tests.support.running import eventually, running_api
from tests.support.writing import writing

ASIDE = "aside"  # no worker of these tests works it: what is replayed stays there
WANTED = {"queue": ASIDE, "state": "failed"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"queues": ("default", ASIDE)})


@pytest.fixture(autouse=True)
async def somebody_worked_aside(ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_registered, datetime.now(UTC), id="w", hostname="h", pid=1, queues=ASIDE)
        await connection.run_sync(record_ended, "w", datetime.now(UTC))


async def replay(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/jobs/replay", json={"filter": WANTED, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def all_replayed(api: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Send the same until nothing is left; return all answers."""
    told = [await replay(api)]
    while told[-1]["more"]:
        told.append(await replay(api, cursor=told[-1]["next_cursor"]))
    return told


async def test_without_a_worker_each_request_goes_on_where_the_one_before_ended(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = await make_jobs(ledger, 1_300, queue=ASIDE)
    monkeypatch.setattr(bulk_replay, "_REPLAYS_FOR_S", 0.001)
    told = await all_replayed(api)
    assert [one["replayed"] for one in told] == [500, 500, 300]
    assert len({one["operation"] for one in told}) == 1
    assert await states_of(ledger, members) == {"queued": 1_300}
    operation = (await api.get(f"/v1/operations/{told[0]['operation']}")).json()
    assert (operation["state"], operation["done"], operation["job_id"]) == ("succeeded", 1_300, None)


async def test_a_worker_goes_on_with_what_a_request_had_no_time_for_and_the_next_one_waits_and_tells(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = await make_jobs(ledger, 1_300, queue=ASIDE)
    await make_jobs(ledger, 2, queue=ASIDE, kind="gone")
    monkeypatch.setattr(bulk_replay, "_REPLAYS_FOR_S", 0.001)
    async with running_api(settings) as api:
        first = await replay(api)
        assert (first["matched"], first["more"]) == (500, True)
        assert first["skipped"] == {"kind_unknown": 2}
        operation = {"id": first["operation"]}
        works_only_operations = settings.model_copy(update={"queues": ("default",)})
        async with running_operator(works_only_operations):
            found = await ended(api, operation)
        assert (found["state"], found["matched"], found["done"]) == ("succeeded", 1_302, 1_300)
        assert found["job_id"] is not None
        rest = await replay(api, cursor=first["next_cursor"])
        assert rest == {
            "matched": 802,
            "replayed": 802,
            "skipped": {},
            "dry_run": False,
            "more": False,
            "next_cursor": None,
            "operation": first["operation"],
        }
    assert await states_of(ledger, members) == {"queued": 1_300}


@pytest.mark.short("sqlite")
async def test_a_replay_whose_api_died_is_gone_on_with_by_a_worker(settings: Settings, ledger: Ledger) -> None:
    members = await make_jobs(ledger, 30_000, queue=ASIDE)
    async with api_process(settings, QUEUES=f"default,{ASIDE}") as (api, process):
        asked = asyncio.create_task(api.post("/v1/jobs/replay", json={"filter": WANTED}))

        async def has_begun() -> bool:
            return (await states_of(ledger, members[-1_000:]))["queued"] > 0

        await eventually(has_begun)
        process.kill()
        with pytest.raises(httpx.TransportError):
            await asked
    left = (await states_of(ledger, members))["failed"]
    assert 0 < left < 30_000
    works_only_operations = settings.model_copy(update={"queues": ("default",)})
    async with running_api(settings) as another, running_operator(works_only_operations):
        [operation] = (await another.get("/v1/operations")).json()["operations"]
        found = await ended(another, operation)
    assert (found["state"], found["matched"], found["done"]) == ("succeeded", 30_000, 30_000)
    assert await states_of(ledger, members) == {"queued": 30_000}


async def test_cursor_of_another_replay_and_of_a_stopped_one_are_refused(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_jobs(ledger, 700, queue=ASIDE)
    monkeypatch.setattr(bulk_replay, "_REPLAYS_FOR_S", 0.001)
    first = await replay(api)
    other = {"filter": {"state": "failed"}, "cursor": first["next_cursor"]}
    assert_problem(await api.post("/v1/jobs/replay", json=other), 422)
    assert_problem(await api.post("/v1/jobs/replay", json={"filter": WANTED, "cursor": "?"}), 422)
    await api.post(f"/v1/operations/{first['operation']}/stop")
    stopped = await api.post("/v1/jobs/replay", json={"filter": WANTED, "cursor": first["next_cursor"]})
    assert_problem(stopped, 409)


async def test_a_dry_run_records_nothing_and_goes_on_beyond_its_cursor(
    api: httpx.AsyncClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_jobs(ledger, 700, queue=ASIDE)
    monkeypatch.setattr(bulk_replay, "_REPLAYS_FOR_S", -1)
    first = await replay(api, dry_run=True)
    assert (first["matched"], first["more"], first["operation"]) == (500, True, None)
    rest = await replay(api, dry_run=True, cursor=first["next_cursor"])
    assert (rest["matched"], rest["more"]) == (200, False)
    assert (await api.get("/v1/operations")).json()["operations"] == []
