"""Free lanes, which nothing limits, and what binds them: each limit counts what runs by then."""

import pytest
from redis.asyncio import Redis

from jobs.kit.lane import Lane, Rate
from service.lane_rules import Rule, written_limits
from service.queue import Entry, Member, Queue, Release, Room
from service.queue.keys import IN_LUA, LANES
from tests.service.queue.in_lanes import BAD, GOOD, ROOM, build, claim, finish, in_lanes, state
from tests.support.running import eventually

FREE = IN_LUA["FREE"]
ONE = written_limits(Lane("t", concurrency=1), None)


async def is_free(redis: Redis, lane: str) -> bool:
    return bool(await redis.hexists(FREE, lane))  # type: ignore[misc]


async def leave(queue: Queue, job_id: str, lane: str) -> None:
    await finish(queue, job_id, lane, verdict=GOOD)


async def test_a_free_lane_has_no_hash_and_leaves_nothing(lanes: Queue, redis: Redis) -> None:
    before = set(await redis.keys("*"))
    await lanes.put([in_lanes(f"job-{n}", "t") for n in range(3)])
    assert await is_free(redis, "t")
    assert not await redis.exists("postlude:lane:t")
    taken = await lanes.claim(["default"], Room(0, 2))
    told = await state(lanes, "t")
    assert (len(taken.claimed), told.running, told.waiting) == (2, 2, 3)
    claimed = taken.claimed + (await lanes.claim(["default"], ROOM)).claimed
    await lanes.take_off_soon(claimed)
    await lanes.lanes.release([Release(one.member.decode(), one.lanes, GOOD, claim_ms=2**50) for one in claimed])
    left = set(await redis.keys("*")) - before
    assert left <= {b"postlude:wake:default", b"postlude:lanes-checked"}


async def test_a_free_lane_that_is_released_before_its_ids_are_off_is_forgotten_at_its_turn(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.put([in_lanes("a", "t")])
    taken = await lanes.claim(["default"], ROOM)
    await lanes.lanes.release([Release("a", ("t",), GOOD, claim_ms=taken.claim_ms)])
    await lanes.take_off_soon(taken.claimed)
    await redis.zadd("postlude:lane-turns:default", {"t": 1})
    assert await claim(lanes) == []
    assert not await redis.exists(FREE, LANES, "postlude:lane-turns:default")


async def test_of_many_free_lanes_left_at_once_the_empty_ones_are_forgotten(lanes: Queue, redis: Redis) -> None:
    keys = [f"t-{n}" for n in range(60)]
    await lanes.put([in_lanes(f"a-{key}", key) for key in keys])
    claimed = (await lanes.claim(["default"], Room(0, len(keys)))).claimed
    await lanes.take_off_soon(claimed)
    await lanes.put([in_lanes("waits", "t-7"), in_lanes("runs", "t-55")])
    runs = (await lanes.claim(["default"], ROOM)).claimed
    await lanes.take_off_soon(one for one in runs if one.member == b"runs")
    await lanes.put_back([in_lanes("waits", "t-7")])
    await lanes.lanes.release([Release(one.member.decode(), one.lanes, GOOD, claim_ms=2**50) for one in claimed])
    assert set(await redis.smembers(LANES)) == {b"t-7", b"t-55"}  # type: ignore[misc]
    assert (await state(lanes, "t-55")).running == 1


@pytest.mark.parametrize("rule", [Rule("t", concurrency=1), Rule("*", concurrency=1), Rule("t", paused=True)], ids=str)
async def test_a_rule_binds_a_free_lane_and_counts_what_runs_there(lanes: Queue, redis: Redis, rule: Rule) -> None:
    await lanes.put([in_lanes(one, "t") for one in "abc"])
    assert await claim(lanes, Room(0, 2)) == ["a", "b"]
    await lanes.lanes.apply([rule])
    assert not await is_free(redis, "t")
    await leave(lanes, "a", "t")
    assert await claim(lanes) == []
    await lanes.lanes.apply([])
    await leave(lanes, "b", "t")
    assert await claim(lanes) == ["c"]


async def test_a_limit_that_comes_with_a_job_counts_what_runs(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")])
    assert await claim(lanes, Room(0, 1)) == ["a"]
    await lanes.put([in_lanes("c", "t", limits=ONE)])
    assert not await is_free(redis, "t")
    assert await claim(lanes) == []
    await leave(lanes, "a", "t")
    assert await claim(lanes) == ["b"]


async def test_jobs_of_one_call_bind_their_lane_whatever_their_order(lanes: Queue) -> None:
    rate = written_limits(Lane("u", rate=Rate(1, per=3600)), None)
    await lanes.put(
        [in_lanes("a", "t"), in_lanes("b", "t", limits=ONE), in_lanes("c", "u", limits=rate), in_lanes("d", "u")]
    )
    assert len(await claim(lanes)) == 2


async def test_a_job_in_two_lanes_binds_both_and_needs_both(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "host")])
    await lanes.put([in_lanes("both", "t", "host")])
    assert sorted(await claim(lanes)) == ["a", "b", "both"]
    assert not await redis.exists(FREE)
    assert (await state(lanes, "host")).running == 2


async def test_a_lane_on_two_queues_is_bound(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")._replace(queue="other")])
    assert not await is_free(redis, "t")
    taken = await lanes.claim(["default", "other"], ROOM)
    assert sorted((one.member, one.queue) for one in taken.claimed) == [(b"a", "default"), (b"b", "other")]


async def test_failures_bind_a_free_lane_and_open_its_breaker(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes(f"job-{n}", "t") for n in range(7)])
    claimed = await claim(lanes, Room(0, 6))
    releases = [Release(one, ("t",), BAD) for one in claimed[:4]]
    await lanes.lanes.release([*releases, Release(claimed[4], ("t",), GOOD), Release(claimed[5], ("t",), BAD)])
    assert (await state(lanes, "t")).breaker == "closed", "an answer came in between"
    await lanes.put([in_lanes(f"more-{n}", "t") for n in range(4)])
    more = await claim(lanes)
    changed = await lanes.lanes.release([Release(one, ("t",), BAD) for one in more if one.startswith("more")])
    assert [(one.lane, one.state) for one in changed] == [("t", "open")]


async def test_an_id_of_a_free_lane_that_runs_already_is_not_claimed_again(lanes: Queue) -> None:
    for lane in map(str, range(50)):  # in some of them, both claims are made within a millisecond
        await lanes.put([in_lanes(f"a-{lane}", lane)])
        taken = await lanes.claim(["default"], ROOM)
        await lanes.take_off_soon(taken.claimed)
        await lanes.put([in_lanes(f"a-{lane}", lane), in_lanes(f"b-{lane}", lane)])
        assert await claim(lanes) == [f"b-{lane}"]


async def test_an_older_claim_does_not_end_a_newer_one(lanes: Queue) -> None:
    await lanes.put([in_lanes("a", "t")])
    taken = await lanes.claim(["default"], ROOM)
    await lanes.lanes.release([Release("a", ("t",), GOOD, claim_ms=taken.claim_ms - 1)])
    assert (await state(lanes, "t")).running == 1
    await lanes.lanes.release([Release("a", ("t",), GOOD, claim_ms=taken.claim_ms)])
    assert (await state(lanes, "t")).running == 0


async def test_what_a_claim_did_not_start_is_put_back_into_a_free_lane(lanes: Queue) -> None:
    entries = [in_lanes(one, "t") for one in "ab"]
    await lanes.put(entries)
    taken = await lanes.claim(["default"], ROOM)
    await lanes.put_back(entries, taken.claim_ms)
    assert await claim(lanes) == ["a", "b"]


async def test_a_kind_with_its_share_is_held_back_in_free_lanes_and_others_go_on(lanes: Queue) -> None:
    def of_kind(job_id: str, lane: str, kind: str) -> Entry:
        return in_lanes(job_id, lane, kind=kind)

    slow = [of_kind(f"slow-{n}", f"t-{n % 3}", "slow") for n in range(6)]
    await lanes.put([*slow, *(of_kind(f"quick-{n}", f"t-{n % 3}", "quick") for n in range(6))])
    room = Room(10, 10, kind_share=4, held={"kind:slow": 2})
    claimed = [one.member for one in (await lanes.claim(["default"], room)).claimed]
    assert sum(one.startswith(b"slow") for one in claimed) == 2
    await lanes.lanes.apply([Rule("kind:quick", paused=True)])
    assert all(one.startswith("slow") for one in await claim(lanes))


async def test_lanes_of_one_kind_give_no_more_than_its_share(lanes: Queue) -> None:
    slow = [in_lanes(f"slow-{n}", f"slow-{n % 3}", kind="slow") for n in range(6)]
    await lanes.put([*slow, *(in_lanes(f"quick-{n}", f"quick-{n % 3}", kind="quick") for n in range(6))])
    room = Room(10, 10, kind_share=4, held={"kind:slow": 2, "kind:quick": 1})
    claimed = [one.member for one in (await lanes.claim(["default"], room)).claimed]
    assert sorted(one.partition(b"-")[0] for one in claimed) == [b"quick"] * 3 + [b"slow"] * 2


async def test_free_lanes_are_rebuilt_with_what_runs(lanes: Queue) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")])
    assert await claim(lanes, Room(0, 1)) == ["a"]
    await build(lanes)
    assert (await state(lanes, "t")).running == 0
    assert await lanes.missing([Member("default", "b", "greet", ("t",))]) == set()
    assert await claim(lanes) == ["b"]


async def test_a_lane_that_an_older_worker_has_forgotten_is_free_anew_and_what_runs_there_is_known(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.put([in_lanes("a", "t")])
    assert await claim(lanes) == ["a"]
    await leave(lanes, "a", "t")
    await redis.hset(FREE, "t", "default,k,")  # type: ignore[misc]  # it knows LANES, and nothing of free ones
    await lanes.put([in_lanes("b", "t")])
    assert await claim(lanes) == ["b"]
    assert [one.id async for one in lanes.lanes.running()] == ["b"]
    await lanes.lanes.apply([Rule("t", concurrency=1)])
    await lanes.put([in_lanes("c", "t")])
    assert await claim(lanes) == []


async def test_a_limit_that_an_older_api_sets_binds_a_free_lane(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes(one, "t") for one in "abc"])
    await redis.hset("postlude:lane:t", mapping={"configured": "1", "concurrency": "1", "on:default": "1"})  # type: ignore[misc]
    assert await claim(lanes) == ["a"]
    assert not await is_free(redis, "t")


async def test_a_job_that_is_put_while_it_runs_is_looked_at_again_in_a_moment(lanes: Queue, redis: Redis) -> None:
    job = in_lanes("a", "t")
    await lanes.put([job])
    taken = await lanes.claim(["default"], ROOM)
    await lanes.take_off_soon(taken.claimed)
    await eventually(lambda: _is_later(redis, taken.claim_ms))
    await lanes.put([job])
    assert await claim(lanes) == []
    turn = await redis.zscore("postlude:lane-turns:default", "t")
    assert turn is not None
    assert turn <= await _now_ms(redis) + 1_000


async def test_a_lane_comes_up_when_what_it_let_run_stands_again(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t", due_in_s=29)])
    assert await claim(lanes) == ["a"]
    turn = await redis.zscore("postlude:lane-turns:default", "t")
    assert turn is not None
    assert turn == await redis.zscore("postlude:lane-waiting:default,t", "a")


async def _now_ms(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds * 1000 + microseconds / 1000)


async def _is_later(redis: Redis, than_ms: float) -> bool:
    return await _now_ms(redis) > than_ms + 1
