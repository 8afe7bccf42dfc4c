"""Who carries out an operation: its job, isolated or not; nobody else; and what becomes of one whose job is gone."""

from collections import Counter
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from service.errors import FateUnknown, LedgerUnavailable
from service.ledger.ledger import Ledger
from service.lifecycle.operations import runner
from service.lifecycle.operations.runner import Runner
from service.lifecycle.operations.walk import Walk
from service.settings import Settings
from service.tables import jobs
from tests.service.api.driving import get, stat
from tests.support.many_jobs import make_jobs, states_of
from tests.support.operating import done_by, ended, running_operator, start, told
from tests.support.running import eventually
from tests.support.writing import writing


@pytest.mark.usefixtures("forked_suspects")
async def test_a_job_that_crashed_twice_carries_its_operation_out_in_a_process_of_its_own(
    api: httpx.AsyncClient, settings: Settings, ledger: Ledger
) -> None:
    members = await make_jobs(ledger, 700, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"})
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == operation["job_id"]).values(crashes=2))
    async with running_operator(settings):
        found = await ended(api, operation)
    assert (found["state"], found["done"]) == ("succeeded", 700)
    assert await states_of(ledger, members) == {"cancelled": 700}


async def test_only_the_job_of_an_operation_carries_it_out(
    api: httpx.AsyncClient, settings: Settings, ledger: Ledger
) -> None:
    members = await make_jobs(ledger, 3, state="scheduled", tags=["t"])
    operation = await start(api, "cancel", {"tag": "t"})
    await api.post(f"/v1/operations/{operation['id']}/stop")
    body = {"kind": "operate", "args": {"operation": operation["id"]}}
    by_hand = (await api.post("/v1/jobs", json=body)).json()
    async with running_operator(settings):

        async def given_up() -> bool:
            return bool((await get(api, by_hand["id"]))["state"] == "failed")

        await eventually(given_up)
    assert await states_of(ledger, members) == {"scheduled": 3}


async def test_an_operation_whose_job_is_gone_has_failed(
    api: httpx.AsyncClient, settings: Settings, ledger: Ledger
) -> None:
    operation = await start(api, "cancel", {"tag": "t"})
    async with writing(ledger.database) as connection:
        await connection.execute(delete(jobs).where(jobs.c.id == operation["job_id"]))
    async with running_operator(settings):
        found = await ended(api, operation)
    assert (found["state"], found["error"]) == ("failed", "Its job is gone.")


async def test_an_outage_of_the_database_makes_an_operation_wait(
    api: httpx.AsyncClient, settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = await make_jobs(ledger, 1_200, state="scheduled", tags=["t"])
    read, record, calls = Walk.read, Runner._record, Counter[str]()

    async def away_for_a_while(self: Walk, *args: Any) -> Any:
        calls["read"] += 1
        if calls["read"] in (2, 3):
            raise LedgerUnavailable("away")
        return await read(self, *args)

    async def confirmed_too_late(self: Runner, *args: Any) -> Any:
        done = await record(self, *args)
        calls["record"] += 1
        if calls["record"] == 2:
            raise FateUnknown("no answer to a commit")
        return done

    monkeypatch.setattr(runner, "_WAIT_FOR_DATABASE_S", 0.01)
    monkeypatch.setattr(Walk, "read", away_for_a_while)
    monkeypatch.setattr(Runner, "_record", confirmed_too_late)
    async with running_operator(settings):
        assert await done_by(api, "cancel", {"tag": "t"}) == told(1_200)
    assert calls["record"] >= 3
    assert await states_of(ledger, members) == {"cancelled": 1_200}


async def test_what_comes_after_a_member_follows_it(api: httpx.AsyncClient, settings: Settings, ledger: Ledger) -> None:
    parent = (await api.post("/v1/jobs", json=stat(delay=3600, tags=["t"]))).json()
    child = (await api.post("/v1/jobs", json=stat(after=[parent["id"]]))).json()
    assert child["state"] == "blocked"
    async with running_operator(settings):
        assert await done_by(api, "cancel", {"tag": "t"}) == told(1)
        assert await state_of(api, child, "cancelled")
        both = {"kind": "update_stats", "state": "cancelled"}
        assert await done_by(api, "replay", {**both, "ids": [child["id"]]}) == told(0, parent_failed=1)
        assert await done_by(api, "replay", {**both, "ids": [parent["id"]]}) == told(1)
        assert await state_of(api, parent, "succeeded")
        assert await state_of(api, child, "succeeded")


async def state_of(api: httpx.AsyncClient, job: dict[str, Any], state: str) -> bool:
    async def is_it() -> bool:
        return bool((await get(api, job["id"]))["state"] == state)

    return await eventually(is_it)
