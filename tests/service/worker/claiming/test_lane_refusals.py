"""Claimed ids in lanes that the ledger does not start leave the running sets; strict lanes turn to their heads."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import update

from jobs import Context, Lane, job
from service.queue import Entry, Room
from service.queue.keys import running_key_of, waiting_key_of
from service.settings import Settings
from service.tables import jobs
from service.worker.claiming.claims import Claims
from service.worker.keeping.lanes import LaneKeeping
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.workload import Workload
from tests.service.worker.desk import Desk, open_desk
from tests.support.writing import writing

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
STRICT = Lane("account:1", order="strict")
ROOM = Room(laneless=10, in_lanes=10)


class Args(BaseModel): ...


@job("known")
async def known(_ctx: Context, _args: Args) -> None: ...


@job("newer")
async def newer(_ctx: Context, _args: Args) -> None: ...


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, known) as opened:
        await LaneKeeping(opened.ledger, opened.queue).build()
        yield opened


@pytest.fixture
async def claims(desk: Desk) -> Claims:
    workload = Workload(desk.resources.process_id)
    await WorkerLease(desk.resources, desk.lifecycle, workload).begin()
    return Claims(desk.resources, desk.lifecycle, workload)


async def _set(desk: Desk, job_id: str, **fields: object) -> None:
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(**fields))


async def test_strict_lane_that_offers_a_later_job_is_turned_to_its_first_one(
    desk: Desk, claims: Claims, redis: Redis
) -> None:
    first = await desk.record_only(
        known, lane=STRICT.key, lane_limits='{"account:1":{"order":"strict","from":"request"}}'
    )
    second = await desk.enqueue(known, lane=STRICT)
    assert await claims.take(ROOM) == []
    assert (await desk.row(second))["state"] == "queued"
    assert await redis.zcard(running_key_of(STRICT.key)) == 0
    assert (await desk.queue.lanes.states([STRICT.key]))[STRICT.key].head == first
    row = await desk.row(first)
    await desk.queue.put([Entry(first, "known", "default", row["run_at"], 0, (STRICT.key,), row["lane_limits"])])
    assert [one.id for one in await claims.take(ROOM)] == [first]


async def test_a_later_job_that_waits_elsewhere_by_now_does_not_become_the_head_of_its_strict_lane(
    desk: Desk, claims: Claims
) -> None:
    first = await desk.record_only(
        known, lane=STRICT.key, lane_limits='{"account:1":{"order":"strict","from":"request"}}'
    )
    second = await desk.enqueue(known, lane=STRICT)
    await _set(desk, second, queue="other")
    assert await claims.take(ROOM) == []
    assert (await desk.queue.lanes.states([STRICT.key]))[STRICT.key].head == first


async def test_job_that_is_not_due_goes_back_to_its_lane_at_its_time_and_leaves_it_free(
    desk: Desk, claims: Claims, redis: Redis
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=20)
    job_id = await desk.enqueue(known, lane="tenant:1")
    await _set(desk, job_id, run_at=later)
    assert await claims.take(ROOM) == []
    assert await redis.zcard(running_key_of("tenant:1")) == 0
    score = await redis.zscore(waiting_key_of("default", "tenant:1"), job_id)
    assert score == int(later.timestamp() * 1000)


@pytest.mark.parametrize("state", ["succeeded", "cancelled"])
async def test_job_that_has_ended_leaves_nothing_in_its_lane(
    desk: Desk, claims: Claims, redis: Redis, state: str
) -> None:
    job_id = await desk.enqueue(known, lane="tenant:1")
    await _set(desk, job_id, state=state)
    assert await claims.take(ROOM) == []
    assert [key async for key in redis.scan_iter("*tenant:1*")] == []
    assert await redis.exists(f"arq:job:{job_id}") == 0


async def test_job_of_a_lane_that_was_put_on_its_queue_moves_into_the_lane_before_it_starts(
    desk: Desk, claims: Claims, redis: Redis
) -> None:
    job_id = await desk.record_only(known, lane="tenant:1")
    row = await desk.row(job_id)
    await desk.queue.put([Entry(job_id, "known", "default", row["run_at"])])
    (started,) = await claims.take(ROOM)
    assert (started.id, started.lanes) == (job_id, ("tenant:1",))
    assert await redis.zscore("arq:queue", job_id) is None


async def test_id_that_the_ledger_does_not_know_leaves_its_lane_at_once(
    desk: Desk, claims: Claims, redis: Redis
) -> None:
    now = datetime.now(UTC)
    await desk.queue.put([Entry("of-another-ledger", "known", "default", now, 0, (STRICT.key,))])
    assert await claims.take(ROOM) == []
    assert await redis.exists(running_key_of(STRICT.key), waiting_key_of("default", STRICT.key)) == 0


@pytest.mark.parametrize(("lane", "within_s"), [(STRICT, 5), (Lane("tenant:1"), 60)], ids=["strict", "other"])
async def test_job_of_an_unknown_kind_is_offered_again_sooner_where_others_wait_behind_it(
    desk: Desk, claims: Claims, redis: Redis, lane: Lane, within_s: float
) -> None:
    first = await desk.record_only(newer, lane=lane.key)
    limits = '{"account:1":{"order":"strict","from":"request"}}' if lane is STRICT else None
    await desk.queue.put([Entry(first, "newer", "default", datetime.now(UTC), 0, (lane.key,), limits)])
    before = datetime.now(UTC).timestamp()
    assert await claims.take(ROOM) == []
    due = await redis.zscore(waiting_key_of("default", lane.key), first) / 1000
    assert before + within_s - 0.001 <= due <= datetime.now(UTC).timestamp() + within_s + 0.001
    assert await redis.zcard(running_key_of(lane.key)) == 0
