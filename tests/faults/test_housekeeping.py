"""Faults of the housekeeping: a frozen sweeper, frozen cron."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from signal import Signals

from sqlalchemy import func, select

from service.ledger.models import Enqueue
from service.tables import jobs, ticks
from tests.faults.form import Figures
from tests.faults.load import Load
from tests.faults.system import System
from tests.faults.verdict import verdict
from tests.service.ledger.makers import new_job
from tests.support.running import eventually

SWEPT_WITHIN_S = 15.0


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
        due = [row.due_at for row in await connection.execute(select(ticks).where(ticks.c.kind == "fault_tick"))]
        count = select(func.count()).where(jobs.c.kind == "fault_tick")
        enqueued = (await connection.execute(count)).scalar_one()
    missed = [at for at in due if frozen_at < at.astimezone(UTC) < thawed_at]
    assert len(due) == len(set(due)) == enqueued
    # The kind has catch_up="none"; the tick that was under way when everything froze may count as caught up.
    assert len(missed) <= 2
    figures("cron SIGSTOPped for 95 s", doubled=enqueued - len(set(due)), caught_up=len(missed))


async def _count_ticks(system: System) -> int:
    async with system.ledger() as ledger, ledger.read() as connection:
        count = select(func.count()).where(ticks.c.kind == "fault_tick")
        return int((await connection.execute(count)).scalar_one())


async def _ticked(system: System, at_least: int) -> bool:
    return await _count_ticks(system) >= at_least
