"""The rescue: whose jobs run again when workers are gone, and at what cost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import BaseModel
from sqlalchemy import update

from jobs import Context, job
from service.ledger.models import Start
from service.ledger.records.workers import record_ended, record_heartbeat, record_registered
from service.ledger.states import MAX_LOST, isolated_from
from service.lifecycle.workers import read_worker
from service.settings import Settings
from service.tables import jobs
from tests.service.worker.desk import Desk, open_desk
from tests.service.worker.keeping.sweeping import lease_of, register_rescuer
from tests.support.running import catalogue_of, running_worker
from tests.support.writing import writing


class Args(BaseModel):
    seconds: float = 0


@job("rest", max_attempts=1)
async def rest(_ctx: Context, args: Args) -> None:
    await asyncio.sleep(args.seconds)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, rest) as opened:
        yield opened


async def _killed_worker_running(desk: Desk, worker_id: str, silent_for: timedelta) -> str:
    """Leave a job running under a worker that was last heard of `silent_for` ago."""
    now = datetime.now(UTC)
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_registered, now, id=worker_id, hostname="gone", pid=1, queues="default")
    job_id = await desk.record_only(rest)
    assert await desk.ledger.start(Start((job_id,), worker_id, ("rest",), datetime.now(UTC)))
    await desk.make_silent(worker_id, now - silent_for)
    return job_id


@pytest.mark.usefixtures("swept_at_once")
async def test_job_of_a_silent_worker_is_put_back_and_runs_again(desk: Desk, settings: Settings) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(seconds=21))
    await desk.sweep_as(await register_rescuer(desk)).sweep()
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["failures"]) == ("queued", 1, 0)
    assert (await read_worker(desk.ledger, "dead")).rescued == 1
    async with running_worker(settings, catalogue_of(rest)):
        assert (await desk.ended(job_id))["state"] == "succeeded"
    assert await desk.outcomes(job_id) == ["crashed", "succeeded"]


async def test_job_of_a_worker_heard_of_lately_is_left_alone(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "busy", timedelta(seconds=15))
    await desk.sweep_as(await register_rescuer(desk)).sweep()
    assert (await desk.row(job_id))["state"] == "running"


async def test_fresh_worker_rescues_nobody(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    workload, lease = lease_of(desk)
    await lease.begin()
    await desk.sweep_as(workload.worker_id).sweep()
    assert (await desk.row(job_id))["state"] == "running"


async def test_worker_that_follows_a_recently_live_one_may_rescue_at_once(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    await register_rescuer(desk)  # killed just now, after beating for 25 s
    workload, lease = lease_of(desk)
    await lease.begin()
    await desk.sweep_as(workload.worker_id).sweep()
    assert (await desk.row(job_id))["state"] == "queued"


async def test_worker_whose_own_heartbeat_had_a_gap_rescues_nobody_for_a_while(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    rescuer = await register_rescuer(desk)
    await desk.make_silent(rescuer, datetime.now(UTC) - timedelta(seconds=12))
    async with writing(desk.ledger.database) as connection:
        assert await connection.run_sync(record_heartbeat, rescuer, datetime.now(UTC))
    await desk.sweep_as(rescuer).sweep()
    assert (await desk.row(job_id))["state"] == "running"


async def test_worker_that_has_not_beaten_lately_rescues_nobody(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    rescuer = await register_rescuer(desk)
    await desk.make_silent(rescuer, datetime.now(UTC) - timedelta(seconds=12))
    await desk.sweep_as(rescuer).sweep()
    assert (await desk.row(job_id))["state"] == "running"


async def test_outcome_that_a_stopped_worker_could_not_write_costs_its_job_nothing(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "stopped", timedelta(0))
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_ended, "stopped", datetime.now(UTC))
    await desk.sweep_as(await register_rescuer(desk)).sweep()
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["failures"]) == ("queued", 0, 0)
    assert await desk.outcomes(job_id) == ["interrupted"]


async def _killed_again(desk: Desk, job_id: str, *, prefetched: bool = False) -> bool:
    """Have a worker start the job, and kill the worker; whether it could be started like that."""
    now, worker_id = datetime.now(UTC), f"killed-{uuid4().hex}"
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_registered, now, id=worker_id, hostname="gone", pid=1, queues="default")
    started = await desk.ledger.start(Start((job_id,), worker_id, ("rest",), now, prefetched=prefetched))
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_ended, worker_id, now, crashed=True)
    return bool(started)


async def test_healthy_job_survives_its_workers_and_an_isolated_one_ends_after_ten_losses(
    desk: Desk, settings: Settings
) -> None:
    job_id, sweep = await desk.record_only(rest), desk.sweep_as(await register_rescuer(desk))
    crashes = isolated_from(settings.max_crashes)
    for _ in range(crashes + MAX_LOST):
        assert (await desk.row(job_id))["state"] == "queued"
        assert await _killed_again(desk, job_id)
        await sweep.sweep()
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["error_type"]) == ("failed", crashes, "WorkerLost")
    assert await desk.outcomes(job_id) == ["crashed"] * crashes + ["interrupted"] * MAX_LOST
    await desk.lifecycle.replay(job_id)
    for _ in range(crashes + 1):
        assert await _killed_again(desk, job_id)
        await sweep.sweep()
    assert (await desk.row(job_id))["state"] == "queued"  # losses before the replay do not count


async def test_attempt_that_may_have_waited_for_a_slot_has_not_crashed_and_the_next_one_begins_at_once(
    desk: Desk,
) -> None:
    job_id, sweep = await desk.record_only(rest), desk.sweep_as(await register_rescuer(desk))
    assert await _killed_again(desk, job_id, prefetched=True)
    await sweep.sweep()
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"]) == ("queued", 0)
    assert not await _killed_again(desk, job_id, prefetched=True)
    assert await _killed_again(desk, job_id)
    await sweep.sweep()
    assert await desk.outcomes(job_id) == ["interrupted", "crashed"]


async def test_job_that_failed_while_prefetched_may_be_prefetched_again(desk: Desk) -> None:
    job_id = await desk.record_only(rest)
    assert await _killed_again(desk, job_id, prefetched=True)
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="retrying"))
    await desk.sweep_as(await register_rescuer(desk)).sweep()  # calls it `queued`, for it is due
    assert await _killed_again(desk, job_id, prefetched=True)
