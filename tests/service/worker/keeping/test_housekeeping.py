"""Heartbeat, rescue, sweep and cron."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import BaseModel
from sqlalchemy import func, select, update

from jobs import Context, job
from service.ledger import liveness
from service.ledger.models import Start
from service.ledger.reads import listing
from service.ledger.records.controlled import record_expired
from service.ledger.states import MAX_LOST, isolated_from
from service.settings import Settings
from service.tables import jobs, ticks, workers
from service.worker.keeping.cron import Cron
from service.worker.keeping.sweep import Sweep
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.workload import Workload
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker


class Args(BaseModel):
    seconds: float = 0


@job("rest", max_attempts=1)
async def rest(_ctx: Context, args: Args) -> None:
    await asyncio.sleep(args.seconds)


@job("often", cron="* * * * * *")
async def often(_ctx: Context, _args: Args) -> None: ...


KINDS = (rest, often)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS) as opened:
        yield opened


async def _rescuer(desk: Desk) -> str:
    """Register a worker that has beaten without a gap for long enough to call others dead."""
    now = datetime.now(UTC)
    async with desk.ledger.database.begin() as connection:
        since = now - timedelta(seconds=25)
        await liveness.register(connection, since, id="rescuer", hostname="here", pid=1, queues="default")
        await connection.execute(update(workers).where(workers.c.id == "rescuer").values(heartbeat_at=now))
    return "rescuer"


async def _killed_worker_running(desk: Desk, worker_id: str, silent_for: timedelta) -> str:
    """Leave a job running under a worker that was last heard of `silent_for` ago."""
    now = datetime.now(UTC)
    async with desk.ledger.database.begin() as connection:
        await liveness.register(connection, now, id=worker_id, hostname="gone", pid=1, queues="default")
    job_id = await desk.record_only(rest)
    assert await desk.ledger.start(Start((job_id,), worker_id, ("rest",), datetime.now(UTC)))
    await desk.make_silent(worker_id, now - silent_for)
    return job_id


async def test_job_of_a_silent_worker_is_put_back_and_runs_again(desk: Desk, settings: Settings) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(seconds=21))
    await Sweep(desk.resources).sweep(as_worker=await _rescuer(desk))
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["failures"]) == ("queued", 1, 0)
    async with running_worker(settings, catalogue_of(*KINDS)):
        assert (await desk.ended(job_id))["state"] == "succeeded"
    assert await desk.outcomes(job_id) == ["crashed", "succeeded"]


async def test_job_of_a_worker_heard_of_lately_is_left_alone(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "busy", timedelta(seconds=15))
    await Sweep(desk.resources).sweep(as_worker=await _rescuer(desk))
    assert (await desk.row(job_id))["state"] == "running"


async def test_fresh_worker_rescues_nobody(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    workload, lease = _lease(desk)
    await lease.begin()
    await Sweep(desk.resources).sweep(as_worker=workload.worker_id)
    assert (await desk.row(job_id))["state"] == "running"


async def test_worker_that_follows_one_who_beat_lately_may_rescue_at_once(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    await _rescuer(desk)  # killed just now, after beating for 25 s
    workload, lease = _lease(desk)
    await lease.begin()
    await Sweep(desk.resources).sweep(as_worker=workload.worker_id)
    assert (await desk.row(job_id))["state"] == "queued"


async def test_worker_whose_own_heartbeat_had_a_gap_rescues_nobody_for_a_while(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    rescuer = await _rescuer(desk)
    await desk.make_silent(rescuer, datetime.now(UTC) - timedelta(seconds=12))
    async with desk.ledger.database.begin() as connection:
        assert await liveness.beat(connection, rescuer, datetime.now(UTC))
    await Sweep(desk.resources).sweep(as_worker=rescuer)
    assert (await desk.row(job_id))["state"] == "running"


async def test_worker_that_has_not_beaten_lately_rescues_nobody(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "dead", timedelta(minutes=5))
    rescuer = await _rescuer(desk)
    await desk.make_silent(rescuer, datetime.now(UTC) - timedelta(seconds=12))
    await Sweep(desk.resources).sweep(as_worker=rescuer)
    assert (await desk.row(job_id))["state"] == "running"


async def test_outcome_that_a_stopped_worker_could_not_write_costs_its_job_nothing(desk: Desk) -> None:
    job_id = await _killed_worker_running(desk, "stopped", timedelta(0))
    async with desk.ledger.database.begin() as connection:
        await liveness.end(connection, "stopped", datetime.now(UTC))
    await Sweep(desk.resources).sweep(as_worker=await _rescuer(desk))
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["failures"]) == ("queued", 0, 0)
    assert await desk.outcomes(job_id) == ["interrupted"]


async def _killed_again(desk: Desk, job_id: str, *, prefetched: bool = False) -> bool:
    """Have a worker start the job, and kill the worker; whether it could be started like that."""
    now, worker_id = datetime.now(UTC), f"killed-{uuid4().hex}"
    async with desk.ledger.database.begin() as connection:
        await liveness.register(connection, now, id=worker_id, hostname="gone", pid=1, queues="default")
    started = await desk.ledger.start(Start((job_id,), worker_id, ("rest",), now, prefetched=prefetched))
    async with desk.ledger.database.begin() as connection:
        await liveness.end(connection, worker_id, now, crashed=True)
    return bool(started)


async def test_healthy_job_survives_its_workers_and_isolated_it_ends_after_ten_losses(
    desk: Desk, settings: Settings
) -> None:
    job_id, sweep, rescuer = await desk.record_only(rest), Sweep(desk.resources), await _rescuer(desk)
    crashes = isolated_from(settings.max_crashes)
    for _ in range(crashes + MAX_LOST):
        assert (await desk.row(job_id))["state"] == "queued"
        assert await _killed_again(desk, job_id)
        await sweep.sweep(as_worker=rescuer)
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"], row["error_type"]) == ("failed", crashes, "WorkerLost")
    assert await desk.outcomes(job_id) == ["crashed"] * crashes + ["interrupted"] * MAX_LOST
    await desk.lifecycle.replay(job_id)
    for _ in range(crashes + 1):
        assert await _killed_again(desk, job_id)
        await sweep.sweep(as_worker=rescuer)
    assert (await desk.row(job_id))["state"] == "queued"  # losses before the replay do not count


async def test_attempt_that_may_have_waited_for_a_slot_has_not_crashed_and_the_next_one_waits_for_none(
    desk: Desk,
) -> None:
    job_id, sweep, rescuer = await desk.record_only(rest), Sweep(desk.resources), await _rescuer(desk)
    assert await _killed_again(desk, job_id, prefetched=True)
    await sweep.sweep(as_worker=rescuer)
    row = await desk.row(job_id)
    assert (row["state"], row["crashes"]) == ("queued", 0)
    assert not await _killed_again(desk, job_id, prefetched=True)
    assert await _killed_again(desk, job_id)
    await sweep.sweep(as_worker=rescuer)
    assert await desk.outcomes(job_id) == ["interrupted", "crashed"]


async def test_job_that_failed_while_prefetched_may_be_prefetched_again(desk: Desk) -> None:
    job_id = await desk.record_only(rest)
    assert await _killed_again(desk, job_id, prefetched=True)
    async with desk.ledger.database.begin() as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="retrying"))
    await Sweep(desk.resources).sweep(as_worker=await _rescuer(desk))  # calls it `queued`, for it is due
    assert await _killed_again(desk, job_id, prefetched=True)


def _lease(desk: Desk) -> tuple[Workload, WorkerLease]:
    workload = Workload(desk.resources.process_id)
    return workload, WorkerLease(desk.resources, workload)


async def test_worker_declared_dead_begins_a_new_life_and_its_old_id_starts_nothing(desk: Desk) -> None:
    workload, lease = _lease(desk)
    await lease.begin()
    old = workload.worker_id
    await desk.make_silent(old, datetime.now(UTC) - timedelta(minutes=1))
    await Sweep(desk.resources).sweep(as_worker=await _rescuer(desk))
    lease.lose(old)
    was_lost = workload.lease_lost
    await lease.begin_anew_if_lost()
    assert (was_lost, workload.lease_lost) == (True, False)
    assert workload.worker_id != old
    job_id = await desk.record_only(rest)
    of_old, of_new = (Start((job_id,), worker, ("rest",), datetime.now(UTC)) for worker in (old, workload.worker_id))
    assert not await desk.ledger.start(of_old)
    assert await desk.ledger.start(of_new)


async def test_attempt_that_the_worker_never_heard_of_is_handed_back(desk: Desk) -> None:
    workload, lease = _lease(desk)
    await lease.begin()
    known, unknown = await desk.record_only(rest), await desk.record_only(rest)
    await desk.ledger.start(Start((known, unknown), workload.worker_id, ("rest",), datetime.now(UTC)))
    workload.reserve([known])
    await lease.hand_back_unknown()
    assert (await desk.row(known))["state"] == "running"
    assert (await desk.row(unknown))["state"] == "queued"
    assert await desk.outcomes(unknown) == ["interrupted"]


async def test_recorded_job_that_was_never_dispatched_is_swept_onto_the_queue(desk: Desk) -> None:
    job_id = await desk.record_only(rest, created_at=datetime.now(UTC) - timedelta(seconds=15))
    sweep = Sweep(desk.resources)
    assert await sweep.dispatch() == 1
    assert await sweep.dispatch() == 0
    assert [one.member.decode() for one in (await desk.queue.claim(["default"], 5)).claimed] == [job_id]


async def test_expired_job_fails_before_it_starts(desk: Desk, settings: Settings) -> None:
    job_id = await desk.enqueue(rest, delay=timedelta(hours=1), expires_in=timedelta(seconds=0.01))
    async with desk.ledger.database.begin() as connection:
        assert await connection.run_sync(record_expired, "test", datetime.now(UTC) + timedelta(seconds=1), 10) == 1
    row = await desk.row(job_id)
    assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "Expired", 0)


async def test_tick_becomes_one_job_however_many_workers_see_it(desk: Desk) -> None:
    crons = [Cron(desk.lifecycle) for _ in range(5)]

    async def ticked() -> bool:
        await asyncio.gather(*(cron.tick() for cron in crons))
        async with desk.ledger.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(ticks))).scalar_one()) >= 2

    await eventually(ticked)
    async with desk.ledger.read() as connection:
        of_cron = select(func.count()).select_from(jobs).where(jobs.c.kind == "often")
        ticked_jobs = (await connection.execute(of_cron)).scalar_one()
        recorded = (await connection.execute(select(func.count()).select_from(ticks))).scalar_one()
    assert ticked_jobs == recorded


async def test_cron_job_runs_like_any_other(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):

        async def ran() -> bool:
            async with desk.ledger.read() as connection:
                rows = await listing.list_jobs(connection, listing.Filter(kinds=("often",), states=("succeeded",)), 1)
            return bool(rows)

        await eventually(ran)
