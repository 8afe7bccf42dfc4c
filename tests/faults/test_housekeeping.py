"""Faults of the housekeeping: a frozen sweeper, frozen cron, schedules whose workers die."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from signal import Signals

import pytest
from sqlalchemy import func, select

from service.ledger.models import Enqueue
from service.tables import jobs, ticks
from tests.faults.form import Figures
from tests.faults.load import Load
from tests.faults.system import System
from tests.faults.verdict import all_ended, verdict
from tests.service.ledger.makers import new_job
from tests.support.rescuing import let_be_silent
from tests.support.running import eventually

SWEPT_WITHIN_S = 15.0
_FIRED = (ticks.c.kind == "fault_tick", ticks.c.outcome == "fired")


async def test_frozen_sweeper_is_replaced_whichever_worker_it_is(system: System, figures: Figures) -> None:
    await system.start(workers=3)
    load = Load()
    longest_s = 0.0
    for survivor in system.workers:
        frozen = [worker for worker in system.workers if worker is not survivor]
        for worker in frozen:
            worker.send(Signals.SIGSTOP)
        recorded_at = datetime.now(UTC)
        job_id = await _record_undispatched(system, recorded_at)
        load.accepted[job_id] = recorded_at
        try:
            await eventually(partial(_has_ended, system, job_id), 40)
        finally:
            for worker in frozen:
                worker.send(Signals.SIGCONT)
        longest_s = max(longest_s, (datetime.now(UTC) - recorded_at).total_seconds())
        await asyncio.sleep(2)
    ended = await verdict(system, load)
    assert longest_s <= SWEPT_WITHIN_S
    figures("sweeping worker SIGSTOPped", **ended.figures, recovered_after_s=round(longest_s, 1))


async def _record_undispatched(system: System, at: datetime) -> str:
    """Record a job like an API that dies right after its commit."""
    job = new_job(kind="fault_work", run_at=at, created_at=at)
    async with system.ledger() as ledger:
        await ledger.enqueue(Enqueue(jobs=(job,), writer="test"))
    return job.id


async def _has_ended(system: System, job_id: str) -> bool:
    return bool((await system.client.get(f"/v1/jobs/{job_id}")).json()["state"] == "succeeded")


async def test_cron_frozen_for_95_s_enqueues_no_tick_twice(system: System, figures: Figures) -> None:
    system.settings["JOBS"] = "tests.faults.kinds,tests.faults.ticking"
    system.api = system.process(system.api.argv)
    await system.start(workers=2)
    await eventually(lambda: _ticked(system, 2))
    for worker in system.workers:
        worker.send(Signals.SIGSTOP)
    frozen_at = datetime.now(UTC)
    await asyncio.sleep(95)
    for worker in system.workers:
        worker.send(Signals.SIGCONT)
    thawed_at = datetime.now(UTC)
    before = await _count_ticks(system)
    await eventually(lambda: _ticked(system, before + 3), 60)
    async with system.ledger() as ledger, ledger.read() as connection:
        due = [row.due_at for row in await connection.execute(select(ticks).where(*_FIRED))]
        count = select(func.count()).where(jobs.c.kind == "fault_tick")
        enqueued = (await connection.execute(count)).scalar_one()
    missed = [at for at in due if frozen_at < at.astimezone(UTC) < thawed_at]
    assert len(due) == len(set(due)) == enqueued
    # The kind has catch_up="none"; the tick that was under way when everything froze may count as caught up.
    assert len(missed) <= 2
    figures("cron SIGSTOPped for 95 s", doubled=enqueued - len(set(due)), caught_up=len(missed))


@pytest.mark.short("postgres")
async def test_schedule_of_each_second_fires_each_tick_once_while_workers_are_killed_and_restarted(
    system: System, chance: random.Random, whole: bool, figures: Figures
) -> None:
    system.settings["MAX_CRASHES"] = "20"
    await system.start(workers=2)
    wanted = {"kind": "fault_work", "args": {"seconds": 0.2}, "cron": "* * * * * *", "catch_up": "all"}
    killed: set[int] = set()
    began = datetime.now(UTC)
    assert (await system.client.put("/v1/schedules/seconds", json=wanted)).is_success
    answered = datetime.now(UTC)
    for number in range(8 if whole else 2):
        await asyncio.sleep(chance.uniform(0.5, 2.5))
        oldest = system.workers.pop(0)
        if number % 2:
            await system.registered(system.add_worker())
            oldest.send(Signals.SIGTERM)
            assert await oldest.ended(30) == 0
        else:
            await oldest.kill()
            killed.add(oldest.pid)
            await system.registered(system.add_worker())
    until = datetime.now(UTC).replace(microsecond=0)
    due = await eventually(partial(_due_until, system, until), 90)
    assert (await system.client.post("/v1/schedules/seconds/pause")).is_success
    assert began <= due[0] <= answered + timedelta(seconds=1)
    assert due == [due[0] + timedelta(seconds=number) for number in range(len(due))]
    async with system.ledger() as ledger:
        await let_be_silent(ledger, killed)
        await all_ended(system, 90)
        async with ledger.read() as connection:
            rows = (await connection.execute(select(ticks).where(ticks.c.kind == "seconds"))).all()
            made = (await connection.execute(select(jobs.c.id).where(jobs.c.kind == "fault_work"))).scalars().all()
    fired = [row.job_id for row in rows if row.outcome == "fired"]
    assert {row.outcome for row in rows if row.due_at.astimezone(UTC) <= until} == {"fired"}
    assert sorted(fired) == sorted(made)
    assert set(fired) == set(system.effects())
    figures("schedule of each second, workers kill -9 and SIGTERM", ticks=len(fired), lost=0, doubled=0)


async def _due_until(system: System, until: datetime) -> list[datetime]:
    """Return the ticks of the schedule in order; none while one up to `until` is missing."""
    async with system.ledger() as ledger, ledger.read() as connection:
        found = await connection.execute(select(ticks.c.due_at).where(ticks.c.kind == "seconds"))
    due = sorted(one.astimezone(UTC) for one in found.scalars())
    return due if due and due[-1] >= until else []


async def _count_ticks(system: System) -> int:
    async with system.ledger() as ledger, ledger.read() as connection:
        count = select(func.count()).where(*_FIRED)
        return int((await connection.execute(count)).scalar_one())


async def _ticked(system: System, at_least: int) -> bool:
    return await _count_ticks(system) >= at_least
