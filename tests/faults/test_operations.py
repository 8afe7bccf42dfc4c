"""Operations under faults: each member is dealt with once, and one that was stopped goes on where it was."""

import asyncio
import random
from collections import Counter
from typing import Any

import httpx
import pytest

from service.ledger.reads import jobs as queries
from tests.faults.form import Figures
from tests.faults.redis_faults import flushed
from tests.faults.system import System
from tests.support.many_jobs import make_jobs
from tests.support.rescuing import let_be_silent, let_it_rescue, let_the_rescue_be_now
from tests.support.running import eventually
from tests.support.servers import RedisServer

_LOST = ("crashed", "interrupted")
_PIECE = 500
MEMBERS = {"kind": "fault_fails"}


async def failed_jobs(system: System, count: int) -> list[str]:
    async with system.ledger() as ledger:
        return await make_jobs(ledger, count, kind="fault_fails", args="{}", max_attempts=1)


async def start(system: System, action: str, **options: Any) -> str:
    answer = await system.client.post("/v1/operations", json={"action": action, "filter": MEMBERS} | options)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    operation_id: str = answer.json()["id"]
    return operation_id


async def shown(system: System, operation_id: str) -> dict[str, Any]:
    return dict((await system.client.get(f"/v1/operations/{operation_id}")).json())


async def has_done(system: System, operation_id: str, at_least: int) -> None:
    async def check() -> bool:
        return bool((await shown(system, operation_id))["done"] >= at_least)

    await eventually(check, 120)


async def succeeded(system: System, operation_id: str) -> dict[str, Any]:
    async def check() -> dict[str, Any]:
        now = await shown(system, operation_id)
        return now if now["state"] == "succeeded" else {}

    return await eventually(check, 120)


async def each_ran_once_more(system: System, members: list[str]) -> int:
    """Wait until all have ended, each after one more attempt that was not lost; return how many were lost."""
    lost = 0
    async with system.ledger() as ledger:

        async def all_have_run() -> bool:
            answer = await system.client.get("/v1/jobs", params={"kind": "fault_fails", "state": "queued", "limit": 1})
            running = await system.client.get("/v1/jobs", params={"kind": "fault_fails", "state": "running"})
            return not answer.json()["jobs"] and not running.json()["jobs"]

        await eventually(all_have_run, 150)
        async with ledger.read() as connection:
            for first in range(0, len(members), _PIECE):
                attempts = await queries.get_attempts(connection, members[first : first + _PIECE])
                for job_id, tried in attempts.items():
                    outcomes = [one["outcome"] for one in tried]
                    assert [one for one in outcomes if one not in _LOST] == ["failed", "discarded"], (job_id, outcomes)
                    lost += len(outcomes) - 2
    return lost


@pytest.mark.short("postgres")
async def test_operation_whose_workers_are_killed_while_redis_forgets_deals_with_each_member_once(
    system: System, own_redis: RedisServer, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings |= {"MAX_CRASHES": "20", "MAX_JOBS": "30"}
    count, kills = (6_000, 4) if whole else (1_000, 1)
    await system.start(workers=2)
    members = await failed_jobs(system, count)
    rate = count / (10 * kills) if whole else 400
    operation_id = await start(system, "replay", rate=rate)
    for number in range(1, kills + 1):
        await has_done(system, operation_id, number * count // (kills + 2))
        await asyncio.gather(*(worker.kill() for worker in system.workers))
        system.workers.clear()
        await flushed(own_redis)
        done = (await shown(system, operation_id))["done"]
        async with system.ledger() as ledger:
            await let_the_rescue_be_now(ledger)
            for _ in range(2):
                system.add_worker()
            await let_it_rescue(ledger)
        assert 0 < done < count
    found = await succeeded(system, operation_id)
    assert (found["matched"], found["done"], found["failed"]) == (count, count, 0)
    lost = await each_ran_once_more(system, members)
    figures("operation: workers kill -9, FLUSHALL", members=count, lost=0, attempts_lost=lost)


@pytest.mark.short("sqlite")
async def test_operation_that_was_stopped_deals_with_nobody_until_it_goes_on(
    system: System, own_redis: RedisServer, whole: bool, figures: Figures
) -> None:
    count = 5_000 if whole else 600
    await system.start(workers=1)
    members = await failed_jobs(system, count)
    operation_id = await start(system, "replay", rate=500 if whole else 200)
    await has_done(system, operation_id, count // 4)
    stopped = await system.client.post(f"/v1/operations/{operation_id}/stop")
    assert stopped.status_code == httpx.codes.OK, stopped.text
    at_the_stop = (await shown(system, operation_id))["done"]
    assert at_the_stop < count
    await flushed(own_redis)
    job_id = stopped.json()["job_id"]

    async def is_cancelled() -> bool:
        return bool((await system.client.get(f"/v1/jobs/{job_id}")).json()["state"] == "cancelled")

    await eventually(is_cancelled)
    assert (await shown(system, operation_id))["done"] == at_the_stop
    victim = system.workers.pop()
    await victim.kill()
    await system.registered(system.add_worker())
    async with system.ledger() as ledger:
        await let_be_silent(ledger, {victim.pid})
    assert (await system.client.post(f"/v1/jobs/{job_id}/replay")).status_code == httpx.codes.OK
    found = await succeeded(system, operation_id)
    assert (found["done"], found["failed"]) == (count, 0)
    lost = await each_ran_once_more(system, members)
    figures("operation: stopped, FLUSHALL, gone on with", members=count, lost=0, attempts_lost=lost)


@pytest.mark.parametrize("action", ["cancel", "run_now", "change", "delete"])
async def test_any_operation_whose_worker_is_killed_changes_all_members(
    system: System, own_redis: RedisServer, action: str, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    count, state = 4_000, "failed" if action == "delete" else "scheduled"
    await system.start(workers=1)
    async with system.ledger() as ledger:
        members = await make_jobs(ledger, count, kind="fault_work", args="{}", state=state)
    change = {"change": {"priority": 7}} if action == "change" else {}
    body = {"action": action, "filter": {"kind": "fault_work"}, "rate": 800, **change}
    operation_id = (await system.client.post("/v1/operations", json=body)).json()["id"]
    await has_done(system, operation_id, 500)
    await system.workers.pop().kill()
    await flushed(own_redis)
    assert (await shown(system, operation_id))["done"] < count
    async with system.ledger() as ledger:
        await let_the_rescue_be_now(ledger)
        system.add_worker()
        await let_it_rescue(ledger)
        found = await succeeded(system, operation_id)
        # What runs now meanwhile is no member any more: it has run.
        assert (found["done"], found["failed"]) == (count, 0) or action == "run_now"
        rows: Counter[tuple[str, int]] = Counter()
        async with ledger.read() as connection:
            for first in range(0, count, _PIECE):
                found_rows = await queries.get_jobs(connection, members[first : first + _PIECE])
                rows.update((row["state"], row["priority"]) for row in found_rows)
    expected = {"cancel": {("cancelled", 0)}, "change": {("scheduled", 7)}, "delete": set()}
    if action in expected:
        assert set(rows) == expected[action]
        assert rows.total() == (0 if action == "delete" else count)
    else:
        assert not [state for state, _ in rows if state == "scheduled"]
    figures(f"operation: {action}, worker kill -9, FLUSHALL", members=count, lost=0)
