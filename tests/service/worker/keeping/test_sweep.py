"""The sweep: who leads it, what it puts on the queue, and what it does while Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import event, insert, update
from structlog.testing import capture_logs

from jobs import Context, job
from service.ledger.leases import SWEEP_LEASE
from service.ledger.models import Start
from service.ledger.reads import audit, dispatching
from service.ledger.reads.dispatching import HORIZON
from service.ledger.reads.sweep_lease import read_lease
from service.ledger.records.dispatched import record_dispatched
from service.ledger.records.workers import record_registered
from service.queue import Entry
from service.settings import Settings
from service.tables import attempts, jobs, sweep_lease
from service.worker.keeping import evictions, sweep
from service.worker.keeping.audit_log import AuditLog
from service.worker.keeping.evictions import Evictions
from service.worker.keeping.sweep import Sweep
from tests.service.ledger.makers import engines_of
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.writing import writing


class Args(BaseModel): ...


@job("rest", max_attempts=1)
async def rest(_ctx: Context, _args: Args) -> None: ...


@pytest.fixture(autouse=True)
def wipes_are_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.keeping.sweep._READ_EPOCH_EVERY_S", 0.0)


@pytest.fixture
async def desks(settings: Settings) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two processes over the same ledger and queue."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_desk(settings, rest)),
            await stack.enter_async_context(open_desk(settings, rest)),
        )


@pytest.fixture
def desk(desks: tuple[Desk, Desk]) -> Desk:
    return desks[0]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def forgotten(desk: Desk, **fields: Any) -> str:
    """Record a job that nobody has dispatched."""
    return await desk.record_only(rest, **{"created_at": ago(15), "run_at": ago(15)} | fields)


async def on_queue(redis: Redis) -> set[str]:
    return {member.decode() for member in await redis.zrange("arq:queue", 0, -1)}


async def set_lease(desk: Desk, leased_until: datetime) -> None:
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(sweep_lease).values(leased_until=leased_until))


async def test_while_one_leads_another_sweeps_nothing(desks: tuple[Desk, Desk], redis: Redis) -> None:
    leader, other = (Sweep(desk.resources) for desk in desks)
    await leader.sweep(as_worker="w")
    job_id = await forgotten(desks[0])
    await other.sweep(as_worker="w")
    assert await on_queue(redis) == set()
    await leader.sweep(as_worker="w")
    assert await on_queue(redis) == {job_id}


async def test_of_many_at_once_one_leads(desks: tuple[Desk, Desk]) -> None:
    leaderships = [Sweep(desk.resources)._leadership for desk in desks]
    assert sorted(await asyncio.gather(*(one.is_held() for one in leaderships))) == [False, True]


async def test_a_leader_that_stops_in_order_is_followed_at_once(desks: tuple[Desk, Desk], redis: Redis) -> None:
    leader, other = (Sweep(desk.resources) for desk in desks)
    await leader.sweep(as_worker="w")
    job_id = await forgotten(desks[0])
    await leader.release()
    await other.sweep(as_worker="w")
    assert await on_queue(redis) == {job_id}


@pytest.mark.parametrize(
    "beyond_now", [timedelta(0), SWEEP_LEASE + timedelta(hours=1)], ids=["ran out", "clock set back"]
)
async def test_a_frozen_leader_is_replaced_and_sweeps_no_more(
    desks: tuple[Desk, Desk], redis: Redis, beyond_now: timedelta
) -> None:
    frozen, other = (Sweep(desk.resources) for desk in desks)
    await frozen.sweep(as_worker="w")
    await set_lease(desks[0], datetime.now(UTC) + beyond_now)
    await other.sweep(as_worker="w")
    await forgotten(desks[0])
    await frozen.sweep(as_worker="w")
    assert await on_queue(redis) == set()


async def test_a_leader_that_was_frozen_in_the_middle_of_a_pass_does_no_harm(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk)
    before = await desk.queue.epoch()
    await redis.flushall()
    await Sweep(desk.resources).dispatch()
    async with writing(
        desk.ledger.database
    ) as connection:  # the frozen one goes on: it had put the job before the wipe
        await connection.run_sync(record_dispatched, [(job_id, 0)], before)
    await Sweep(desk.resources).dispatch()
    assert await redis.zcard("arq:queue") == 1
    assert (await desk.row(job_id))["dispatch_epoch"] == await desk.queue.epoch()


async def test_a_lease_is_renewed_before_it_runs_out(desks: tuple[Desk, Desk]) -> None:
    leader, other = (Sweep(desk.resources) for desk in desks)
    await leader.sweep(as_worker="w")
    await set_lease(desks[0], datetime.now(UTC) + timedelta(seconds=5))
    await leader.sweep(as_worker="w")
    assert not await other._leadership.is_held()
    async with desks[0].ledger.read() as connection:
        left = (await read_lease(connection)).left  # type: ignore[union-attr]
    assert left > timedelta(seconds=7)


async def test_an_idle_pass_writes_nothing(desk: Desk) -> None:
    await desk.enqueue(rest, delay=timedelta(hours=1))
    sweeping = Sweep(desk.resources)
    await sweeping.sweep(as_worker="w")
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    for engine in engines_of(desk.ledger.database):
        event.listen(engine, "before_cursor_execute", note)
    await sweeping.sweep(as_worker="w")
    assert statements
    assert not [one for one in statements if one.startswith(("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE"))]


async def test_after_a_full_pass_the_next_follows_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_BATCH", 2)
    monkeypatch.setattr(sweep, "_LONGEST_PASS_S", -1.0)
    for _ in range(3):
        await forgotten(desk)
    sweeping = Sweep(desk.resources)
    assert await sweeping.sweep(as_worker="w")
    assert not await sweeping.sweep(as_worker="w")


async def test_a_backlog_that_is_on_the_queue_is_noted_at_leisure(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_BATCH", 2)
    monkeypatch.setattr(sweep, "_CALM_PASS_S", -1.0)
    ids = [await forgotten(desk) for _ in range(3)]
    await desk.queue.put([Entry(job_id, "rest", "default", ago(15)) for job_id in ids])
    sweeping = Sweep(desk.resources)
    noted = []
    for _ in range(2):
        assert not await sweeping.sweep(as_worker="w"), "nothing is urgent"
        noted.append([bool((await desk.row(job_id))["dispatch_epoch"]) for job_id in ids].count(True))
    assert noted == [2, 3]


async def test_too_much_to_promote_or_expire_for_one_pass_is_a_full_pass(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_BATCH", 2)
    due = [await forgotten(desk, state="scheduled") for _ in range(3)]
    late = [await forgotten(desk, expires_at=ago(1), run_at=datetime.now(UTC) + timedelta(hours=1)) for _ in range(3)]
    sweeping = Sweep(desk.resources)
    while await sweeping.sweep(as_worker="w"):
        pass
    assert {(await desk.row(job_id))["state"] for job_id in due} == {"queued"}
    assert {(await desk.row(job_id))["error_type"] for job_id in late} == {"Expired"}


async def test_a_wiped_redis_is_filled_again(desk: Desk, redis: Redis) -> None:
    job_ids = {await forgotten(desk) for _ in range(5)}
    sweeping = Sweep(desk.resources)
    await sweeping.sweep(as_worker="w")
    await redis.flushall()
    await sweeping.sweep(as_worker="w")
    assert await on_queue(redis) == job_ids


@pytest.mark.parametrize("fault", ["full", "read-only"])
async def test_what_redis_refuses_is_not_taken_for_dispatched_and_is_put_when_it_takes_again(
    desk: Desk, redis: Redis, fault: str
) -> None:
    sweeping = Sweep(desk.resources)
    await sweeping.sweep(as_worker="w")
    job_id = await forgotten(desk)
    try:
        if fault == "full":
            await redis.config_set("maxmemory", 1)
        else:
            await redis.replicaof("127.0.0.1", "1")
        assert not await sweeping.sweep(as_worker="w")
        assert (await desk.row(job_id))["dispatch_epoch"] == ""
        with pytest.raises(RedisError):
            await sweeping.dispatch()
    finally:
        await redis.config_set("maxmemory", 0)
        await redis.replicaof("NO", "ONE")
    await sweeping.sweep(as_worker="w")
    assert await on_queue(redis) == {job_id}


async def test_the_ledgers_part_goes_on_while_redis_is_away(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk, state="scheduled")
    try:
        await redis.replicaof("127.0.0.1", "1")
        await Sweep(desk.resources).sweep(as_worker="w")
    finally:
        await redis.replicaof("NO", "ONE")
    assert (await desk.row(job_id))["state"] == "queued"


async def test_single_ids_that_are_gone_are_put_again(desk: Desk, redis: Redis) -> None:
    job_ids = [await forgotten(desk) for _ in range(4)]
    sweeping = Sweep(desk.resources)
    await sweeping.sweep(as_worker="w")
    await redis.zrem("arq:queue", *job_ids[:2])
    await sweeping.sweep(as_worker="w")
    assert await on_queue(redis) == set(job_ids)


async def test_the_cursor_comes_to_every_job_and_begins_again(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "_PAGE", 2)
    same = ago(15)
    job_ids = {await forgotten(desk, run_at=same) for _ in range(5)}
    await Sweep(desk.resources).dispatch()
    cursor, epoch = Evictions(desk.resources), await desk.queue.epoch()
    for _ in range(2):
        await redis.delete("arq:queue")
        assert [await cursor.mend(epoch) for _ in range(3)] == [2, 2, 1]
        assert await on_queue(redis) == job_ids


async def test_a_job_that_has_started_meanwhile_is_no_eviction(desk: Desk, redis: Redis) -> None:
    job_id = await forgotten(desk)
    await Sweep(desk.resources).dispatch()
    epoch = await desk.queue.epoch()
    async with desk.ledger.read() as connection:
        rows = await dispatching.dispatched(connection, epoch, evictions._START, 10)
    async with writing(desk.ledger.database) as connection:
        await connection.run_sync(record_registered, ago(0), id="w", hostname="here", pid=1, queues="default")
    assert await desk.ledger.start(Start((job_id,), "w", ("rest",), ago(0)))
    await redis.delete("arq:queue")
    assert await Evictions(desk.resources)._gone(rows) == []


async def test_a_job_due_just_beyond_the_horizon_is_on_the_queue_before_it_is_due(desk: Desk, redis: Redis) -> None:
    job_id = await desk.enqueue(rest, delay=HORIZON + timedelta(seconds=1))
    assert await on_queue(redis) == set()
    sweeping = Sweep(desk.resources)

    async def put() -> float | None:
        await sweeping.sweep(as_worker="w")
        score: float | None = await redis.zscore("arq:queue", job_id)
        return score

    run_at = (await desk.row(job_id))["run_at"]
    assert await eventually(put) == int(run_at.timestamp() * 1000)
    assert datetime.now(UTC) < run_at


async def test_a_stopped_worker_lets_another_sweep(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(rest)):

        async def led() -> bool:
            async with desk.ledger.read() as connection:
                return (await connection.execute(sweep_lease.select())).first() is not None

        await eventually(led)
    assert await Sweep(desk.resources)._leadership.is_held()


async def judged(desk: Desk) -> audit.Sweeping:
    async with desk.ledger.read() as connection:
        return await audit.sweeping(connection)


async def renew(desk: Desk, sweeping: Sweep) -> None:
    """Sweep twice, and have the lease renewed: only then is the first pass noted."""
    await sweeping.sweep(as_worker="w")
    await set_lease(desk, datetime.now(UTC) + timedelta(seconds=1))
    await sweeping.sweep(as_worker="w")


async def test_whole_passes_are_noted_with_the_queues_epoch(desk: Desk) -> None:
    await renew(desk, Sweep(desk.resources))
    noted = await judged(desk)
    assert noted.epoch == await desk.queue.epoch()
    assert noted.swept_at is not None
    await renew(desk, Sweep(desk.resources))
    assert (await judged(desk)).swept_since == noted.swept_since


@pytest.mark.parametrize("fault", ["away", "wiped"])
async def test_from_an_outage_of_redis_on_nothing_is_judged_until_it_is_mended(
    desk: Desk, redis: Redis, fault: str
) -> None:
    sweeping = Sweep(desk.resources)
    await renew(desk, sweeping)
    await forgotten(desk)
    if fault == "away":
        await redis.replicaof("127.0.0.1", "1")
    else:
        await redis.flushall()
    await sweeping.sweep(as_worker="w")
    await redis.replicaof("NO", "ONE")
    assert (await judged(desk)).swept_at is None
    await renew(desk, sweeping)
    assert (await judged(desk)).swept_at is not None


async def test_unaccounted_jobs_are_logged_with_the_reason_once_and_when_it_is_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.worker.keeping.audit_log._EVERY_S", 0.0)
    job_id = await forgotten(desk)
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="running", attempt=1))
        ended = {"number": 1, "worker": "w", "outcome": "failed", "started_at": ago(9), "finished_at": ago(8)}
        await connection.execute(insert(attempts).values(job_id=job_id, **ended))
    looking = AuditLog(desk.ledger)
    with capture_logs() as logs:
        await looking.look()
        await looking.look()
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="failed"))
        await looking.look()
        await looking.look()
    assert [one["event"] for one in logs] == ["unaccounted_jobs", "unaccounted_jobs_over"]
    assert logs[0]["reasons"] == {job_id: "running as attempt 1, but that attempt has ended"}
