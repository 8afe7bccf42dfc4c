"""Limits hold although somebody was frozen, a clock is wrong, or Redis has lost something."""

from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from jobs.kit.lane import Lane
from service import agreed_time
from service.lane_rules import Rule, written_limits
from service.queue import NO_CLAIM_MS, Queue, Release, Room, Runs
from service.queue.keys import IN_LUA, LANES_EPOCH, MARKER, lane_key_of, running_key_of, wake_key_of
from tests.service.queue.in_lanes import ROOM, build, claim, in_lanes, state


async def test_who_was_frozen_before_it_put_a_job_back_ends_no_later_claim_of_it(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("t", concurrency=1)])
    job = in_lanes("a", "t")
    await lanes.put([job])
    frozen = await lanes.claim(["default"], ROOM)
    await lanes.lanes.release_if("t", "a", frozen.claim_ms)  # by the leader, much later
    await lanes.put_back([job])
    await lanes.put_back([job], frozen.claim_ms)
    assert await claim(lanes) == ["a"]
    await lanes.put_back([job], frozen.claim_ms - 1)
    assert (await state(lanes, "t")).running == 1


async def test_who_ends_a_job_that_waits_ends_no_claim_and_frees_its_strict_lane(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("t", strict=True)])
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")])
    await lanes.lanes.set_head("t", "a", datetime.now(UTC))
    assert await claim(lanes) == ["a"]
    await lanes.lanes.release([Release("a", ("t",), claim_ms=NO_CLAIM_MS)])
    assert (await state(lanes, "t")).running == 1
    await lanes.lanes.release([Release("a", ("t",))])
    await lanes.remove("default", [b"a"])
    await lanes.lanes.set_head("t", "c", datetime.now(UTC))
    assert await claim(lanes) == []
    await lanes.lanes.release([Release("c", ("t",), claim_ms=NO_CLAIM_MS)])
    assert await claim(lanes) == ["b"]


async def test_limits_that_a_running_job_sent_hold_after_a_rebuild(queue: Queue) -> None:
    limits = written_limits(Lane("t", concurrency=1), None)
    await queue.lanes.rebuild(await queue.epoch(), [], [Runs("a", ("t",), "default", limits)], first=True)
    await queue.put([in_lanes("b", "t")])
    assert await claim(queue) == []


async def test_buckets_begin_empty_after_a_rebuild_whatever_this_clock_says(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = agreed_time.now()
    monkeypatch.setattr(agreed_time, "now", lambda: now.replace(year=now.year - 1))
    await build(queue, Rule("t", rate_limit=1, rate_per_s=3600), first=False)
    await queue.put([in_lanes("a", "t")])
    assert await claim(queue) == []


async def test_a_replica_whose_clock_is_behind_opens_no_lanes_that_were_built_elsewhere(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.put([in_lanes("a", "t")])
    marker = (await redis.get(MARKER) or b"").decode()
    built = f"{marker}:0123456789abcdef"
    await redis.set(LANES_EPOCH, built)
    seconds, _ = await redis.time()
    await redis.set(IN_LUA["LANES_CHECKED"], f"{(seconds + 60) * 1000} {marker}{built}", px=60_000)
    assert await claim(lanes) == []
    await redis.set(IN_LUA["LANES_CHECKED"], f"{(seconds - 60) * 1000} {marker}{built}", px=60_000)
    assert await claim(lanes) == []


async def test_rules_hold_for_a_lane_of_which_redis_has_lost_all_but_its_turn(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "u"), in_lanes("b", "u")])
    await lanes.lanes.apply([Rule("u", paused=True)])
    await redis.zadd("postlude:lane-turns:default", {"u": 1})
    await redis.delete(lane_key_of("u"))
    assert await claim(lanes) == []
    await lanes.lanes.apply([Rule("u", concurrency=1)])
    assert await claim(lanes) == ["a"]


async def test_a_worker_whose_share_of_a_lane_is_full_wakes_another_one(lanes: Queue, redis: Redis) -> None:
    limits = written_limits(None, Lane("host"))
    await lanes.put([in_lanes(f"job-{n}", "host", limits=limits) for n in range(9)])
    await redis.delete(wake_key_of("default"))
    room = Room(8, 8, lane_share=2, kind_share=7)
    assert len(await claim(lanes, room)) == 2
    assert await lanes.woken(["default"], 1)
    full = Room(6, 6, lane_share=2, kind_share=7, held={"host": 2})
    assert await claim(lanes, full) == []
    assert not await redis.exists(wake_key_of("default"))


async def test_a_worker_without_slots_for_more_of_a_lane_wakes_another_one(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes(f"job-{n}", "t") for n in range(9)])
    await redis.delete(wake_key_of("default"))
    assert len(await claim(lanes, Room(20, 2))) == 2
    assert await lanes.woken(["default"], 1)


async def test_nothing_is_started_of_a_claim_that_found_a_running_set_destroyed(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t")])
    await redis.set(running_key_of("t"), "of another type")
    assert (await lanes.claim(["default"], ROOM)).lanes_epoch == ""
    assert await lanes.lanes.built_epoch() is None
