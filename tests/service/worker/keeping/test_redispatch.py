"""What nobody has dispatched to the Redis of today."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from service.ledger.reads.dispatching import HORIZON
from service.queue import Entry, Room
from service.worker.keeping import redispatch
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import ago, forgotten, on_queue, rest
from tests.support.running import eventually


async def test_after_a_full_pass_the_next_follows_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redispatch, "_BATCH", 2)
    monkeypatch.setattr(redispatch, "_LONGEST_S", -1.0)
    for _ in range(3):
        await forgotten(desk)
    sweeping = desk.sweep_as()
    assert await sweeping.sweep()
    assert not await sweeping.sweep()


async def test_a_backlog_that_is_on_the_queue_is_noted_at_leisure(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redispatch, "_BATCH", 2)
    monkeypatch.setattr(redispatch, "_LONGEST_CALM_S", -1.0)
    ids = [await forgotten(desk) for _ in range(3)]
    await desk.queue.put([Entry(job_id, "rest", "default", ago(15)) for job_id in ids])
    sweeping = desk.sweep_as()
    noted = []
    for _ in range(2):
        assert not await sweeping.sweep(), "nothing is urgent"
        noted.append([bool((await desk.row(job_id))["dispatch_epoch"]) for job_id in ids].count(True))
    assert noted == [2, 3]


async def test_a_wiped_redis_is_filled_again(desk: Desk, redis: Redis) -> None:
    job_ids = {await forgotten(desk) for _ in range(5)}
    sweeping = desk.sweep_as()
    await sweeping.sweep()
    await redis.flushall()
    await sweeping.sweep()
    assert await on_queue(redis) == job_ids


@pytest.mark.usefixtures("swept_at_once")
async def test_a_job_due_just_beyond_the_horizon_is_on_the_queue_before_it_is_due(desk: Desk, redis: Redis) -> None:
    job_id = await desk.enqueue(rest, delay=HORIZON + timedelta(seconds=1))
    assert await on_queue(redis) == set()
    sweeping = desk.sweep_as()

    async def put() -> float | None:
        await sweeping.sweep()
        score: float | None = await redis.zscore("arq:queue", job_id)
        return score

    run_at = (await desk.row(job_id))["run_at"]
    assert await eventually(put) == int(run_at.timestamp() * 1000)
    assert datetime.now(UTC) < run_at


async def test_recorded_job_that_was_never_dispatched_is_swept_onto_the_queue(desk: Desk) -> None:
    job_id = await desk.record_only(rest, created_at=datetime.now(UTC) - timedelta(seconds=15))
    assert await desk.redispatch() == 1
    assert await desk.redispatch() == 0
    assert [one.member.decode() for one in (await desk.queue.claim(["default"], Room(5))).claimed] == [job_id]
