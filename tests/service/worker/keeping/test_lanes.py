"""The leader keeps the lanes of Redis true to the ledger: it rebuilds them, mends drift, and has rules hold."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from jobs import Lane
from service.ledger.clock import now_by
from service.ledger.models import Started
from service.ledger.reads.lanes import recorded_epoch
from service.ledger.records.lanes import record_rebuild, record_rule
from service.queue import Release, Room
from service.queue.keys import LANES_EPOCH, lane_key_of, running_key_of
from service.worker.claiming.claims import Claims
from service.worker.keeping import lanes as keeping
from service.worker.keeping.lanes import LaneKeeping
from service.worker.keeping.worker_lease import WorkerLease
from service.worker.workload import Workload
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import rest
from tests.support.running import eventually

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

LANE = Lane("tenant:1", concurrency=2)
ROOM = Room(laneless=10, in_lanes=10)


async def _keep(desk: Desk) -> None:
    await LaneKeeping(desk.ledger, desk.queue).keep(await desk.queue.epoch())


async def _claims(desk: Desk) -> Claims:
    workload = Workload(desk.resources.process_id)
    await WorkerLease(desk.resources, desk.lifecycle, workload).begin()
    return Claims(desk.resources, desk.lifecycle, workload)


async def _enqueue(desk: Desk, count: int) -> list[str]:
    return [await desk.enqueue(rest, lane=LANE) for _ in range(count)]


def _ids(started: Sequence[Started]) -> list[str]:
    return [one.id for one in started]


async def _running(redis: Redis) -> list[str]:
    return [member.decode() for member in await redis.zrange(running_key_of(LANE.key), 0, -1)]


async def test_lanes_are_closed_until_they_are_built_and_hold_what_runs(desk: Desk, redis: Redis) -> None:
    ids = await _enqueue(desk, 4)
    claims = await _claims(desk)
    assert await claims.take(ROOM) == []
    await _keep(desk)
    assert _ids(await claims.take(ROOM)) == ids[:2]
    await redis.flushall()
    assert await claims.take(ROOM) == []
    await _keep(desk)
    await desk.redispatch()
    await desk.queue.put([])
    assert sorted(await _running(redis)) == sorted(ids[:2])
    assert await claims.take(ROOM) == [], "two run, as many as may"


async def test_start_of_a_claim_from_before_a_rebuild_is_refused(desk: Desk, redis: Redis) -> None:
    [job_id] = await _enqueue(desk, 1)
    await _keep(desk)
    claims = await _claims(desk)
    taken = await desk.queue.claim(["default"], ROOM)
    assert [one.in_lane for one in taken.claimed] == [True]
    await redis.delete(LANES_EPOCH)
    await _keep(desk)
    assert await claims.start(taken) == []
    assert (await desk.row(job_id))["state"] == "queued"
    assert await _running(redis) == []


async def test_lanes_whose_epoch_the_ledger_does_not_know_are_rebuilt(desk: Desk) -> None:
    await _keep(desk)
    before = await desk.queue.lanes.built_epoch()
    await desk.ledger.database.run(partial(record_rebuild, epoch="another leader's"))
    await _keep(desk)
    after = await desk.queue.lanes.built_epoch()
    assert after != before
    async with desk.ledger.read() as connection:
        assert await recorded_epoch(connection) == after


async def test_claim_that_led_to_nothing_is_released_and_what_runs_is_not(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, lost = await _enqueue(desk, 2)
    await _keep(desk)
    claims = await _claims(desk)
    assert _ids(await claims.take(Room(laneless=0, in_lanes=1))) == [runs]
    await desk.queue.claim(["default"], ROOM)  # by a worker that dies before the start
    assert sorted(await _running(redis)) == sorted([runs, lost])
    await _keep(desk)
    assert sorted(await _running(redis)) == sorted([runs, lost]), "its start may still come"
    monkeypatch.setattr(keeping, "LOST_AFTER_S", -1)
    await _keep(desk)
    assert sorted(await _running(redis)) == sorted([runs, lost]), "the clock of Redis alone may be wrong"
    monkeypatch.setattr(keeping, "SEEN_FOR_S", 0)
    await _keep(desk)
    assert await _running(redis) == [runs]


async def test_running_job_of_which_redis_has_lost_that_it_runs_counts_in_its_lane_again(
    desk: Desk, redis: Redis
) -> None:
    ids = await _enqueue(desk, 4)
    await _keep(desk)
    claims = await _claims(desk)
    started = await claims.take(ROOM)
    await desk.queue.put([])
    await redis.delete(running_key_of(LANE.key))
    with capture_logs() as logs:
        await _keep(desk)
        await _keep(desk)
    assert [(one["event"], one["jobs"]) for one in logs] == [("evicted_from_lanes_put_back", 2)]
    assert sorted(await _running(redis)) == sorted(ids[:2])
    assert await claims.take(ROOM) == [], "two run, as many as may"
    await desk.queue.lanes.release([Release(one.id, one.lanes, claim_ms=one.claimed_ms) for one in started])
    assert await _running(redis) == []


async def test_rule_that_redis_was_not_told_holds_after_the_next_look(desk: Desk) -> None:
    lanes = LaneKeeping(desk.ledger, desk.queue)
    epoch = await desk.queue.epoch()
    await lanes.keep(epoch)
    await _enqueue(desk, 3)
    await desk.ledger.database.run(
        lambda connection: record_rule(connection, "tenant:*", {"concurrency": 1}, now_by(connection))
    )
    await lanes.keep(epoch)
    assert (await desk.queue.lanes.states([LANE.key]))[LANE.key].concurrency == 1


async def test_older_rules_that_an_api_told_late_hold_until_the_next_look(desk: Desk) -> None:
    lanes = LaneKeeping(desk.ledger, desk.queue)
    epoch = await desk.queue.epoch()
    await lanes.keep(epoch)
    await _enqueue(desk, 3)
    await desk.ledger.database.run(
        lambda connection: record_rule(connection, LANE.key, {"paused": True}, now_by(connection))
    )
    await lanes.keep(epoch)
    await desk.queue.lanes.apply([], "older")
    await lanes.keep(epoch)
    assert (await desk.queue.lanes.states([LANE.key]))[LANE.key].paused


async def test_a_lane_in_use_that_a_worker_of_an_older_version_lets_expire_is_kept(
    desk: Desk, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_TIDY_EVERY_S", 0.0)
    lanes = LaneKeeping(desk.ledger, desk.queue)
    for _ in range(2):  # builds the lanes, then has the rules hold: both place lanes
        await lanes.keep(await desk.queue.epoch())
    await _enqueue(desk, 1)
    assert await redis.expire(lane_key_of(LANE.key), 600)

    async def stays() -> bool:
        await lanes.keep(await desk.queue.epoch())
        return bool(await redis.ttl(lane_key_of(LANE.key)) == -1)

    await eventually(stays)


async def test_an_order_that_came_with_a_job_is_remembered_as_long_as_its_lane_has_a_live_job(
    desk: Desk, redis: Redis
) -> None:
    await _keep(desk)
    order = Lane("account:1", order="strict")
    first, second = [await desk.enqueue(rest, lane=order, delay=timedelta(hours=1)) for _ in range(2)]
    assert await redis.pexpire(lane_key_of(order.key), 1_000)
    await _keep(desk)
    assert await redis.pttl(lane_key_of(order.key)) > 60_000
    await desk.lifecycle.cancel(first)
    await _keep(desk)
    assert await redis.exists(lane_key_of(order.key))
    await desk.lifecycle.cancel(second)
    await _keep(desk)
    assert not await redis.exists(lane_key_of(order.key))


async def test_a_strict_lane_that_waits_for_the_wrong_job_or_for_too_long_is_turned_to_its_first_one(
    desk: Desk,
) -> None:
    await _keep(desk)
    order, other = Lane("account:1", order="strict"), Lane("account:2", order="strict")
    first, second = [await desk.enqueue(rest, lane=order) for _ in range(2)]
    third = await desk.enqueue(rest, lane=other)
    later = datetime.now(UTC) + timedelta(hours=1)
    await desk.queue.lanes.set_head(order.key, second, later)
    await desk.queue.lanes.set_head(other.key, third, later)
    claims = await _claims(desk)
    assert await claims.take(ROOM) == []
    await _keep(desk)
    assert sorted(_ids(await claims.take(ROOM))) == sorted([first, third])


async def test_a_strict_lane_that_waits_for_another_job_by_now_is_not_turned_back(desk: Desk) -> None:
    await _keep(desk)
    order = Lane("account:1", order="strict")
    first, second = [await desk.enqueue(rest, lane=order) for _ in range(2)]
    await desk.queue.lanes.set_head(order.key, first, datetime.now(UTC))
    await desk.queue.lanes.set_head(order.key, second, datetime.now(UTC), in_place_of="another")
    assert (await desk.queue.lanes.states([order.key]))[order.key].head == first
