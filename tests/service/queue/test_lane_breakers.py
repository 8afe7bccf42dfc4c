"""Strict lanes and their heads; breakers and their probes."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from service.lane_rules import Rule
from service.queue import (
    Queue,
    Release,
    Room,
    Verdict,
)
from tests.service.queue.in_lanes import BAD, GOOD, ROOM, build, claim, finish, in_lanes, opens_in_s, state
from tests.support.running import eventually

# ---- strict order


async def test_a_strict_lane_starts_one_at_a_time_and_waits_for_a_head_that_goes_on(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("order", strict=True)])
    await lanes.put([in_lanes(one, "order", due_in_s=-9 + n) for n, one in enumerate("abc")])
    taken = await lanes.claim(["default"], ROOM)
    assert [(one.member, one.strict) for one in taken.claimed] == [(b"a", ("order",))]
    await lanes.remove("default", [b"a"])
    again = in_lanes("a", "order", due_in_s=0.3)
    await lanes.put([again])
    await lanes.lanes.release([Release("a", ("order",), head_due=again.due_at)])
    assert await claim(lanes) == []
    assert (await state(lanes, "order")).head == "a"
    assert await eventually(lambda: claim(lanes)) == ["a"]
    await finish(lanes, "a", "order")
    assert await claim(lanes) == ["b"]


async def test_a_head_that_the_ledger_names_goes_first_and_one_that_is_nowhere_is_forgotten(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("order", strict=True)])
    await lanes.put([in_lanes("b", "order", due_in_s=-9), in_lanes("a", "order")])
    await lanes.lanes.set_head("order", "a", datetime.now(UTC))
    assert await claim(lanes) == ["a"]
    await finish(lanes, "a", "order")
    await lanes.lanes.set_head("order", "gone", datetime.now(UTC) - timedelta(seconds=10))
    assert await eventually(lambda: claim(lanes)) == ["b"]


# ---- breakers


async def test_a_breaker_opens_after_five_failures_in_a_row_and_lets_one_probe_through(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.put([in_lanes(f"job-{n:02}", "host") for n in range(30)])
    claimed = await claim(lanes, Room(0, 12))
    changes = [
        await finish(lanes, one, "host", verdict=verdict)
        for one, verdict in zip(claimed, [BAD] * 4 + [GOOD] + [BAD] * 5, strict=False)
    ]
    assert changes[:9] == [[]] * 9
    ((change,),) = changes[9:]
    assert (change.lane, change.state, change.step, change.reason) == ("host", "open", 1, "ConnectError")
    assert 9 < await opens_in_s(lanes, "host") <= 10
    assert await finish(lanes, claimed[10], "host", verdict=GOOD) == [], "only a probe closes it"
    assert await claim(lanes) == []
    await redis.hset("postlude:lane:host", "until", "1")  # type: ignore[misc]
    await lanes.lanes.apply([])
    (probe,) = await claim(lanes)
    assert (await state(lanes, "host")).breaker == "half_open"
    assert await claim(lanes) == []
    ((change),) = await finish(lanes, probe, "host", verdict=BAD)
    assert (change.state, change.step) == ("open", 2)
    assert 19 < await opens_in_s(lanes, "host") <= 20
    await redis.hset("postlude:lane:host", "until", "1")  # type: ignore[misc]
    await lanes.lanes.apply([])
    (probe,) = await claim(lanes)
    ((change),) = await finish(lanes, probe, "host", verdict=GOOD)
    assert (change.state, change.step) == ("closed", 0)
    assert len(await claim(lanes)) > 1


async def test_a_release_that_is_told_twice_counts_once(lanes: Queue) -> None:
    await lanes.put([in_lanes(f"job-{n}", "host") for n in range(3)])
    taken = await lanes.claim(["default"], ROOM)
    releases = [Release(one.member.decode(), ("host",), BAD, claim_ms=taken.claim_ms) for one in taken.claimed]
    assert len(releases) == 3
    for _ in range(2):
        assert await lanes.lanes.release(releases) == []
    assert (await state(lanes, "host")).failures == 3


async def test_a_job_may_hold_its_lane_and_a_probe_that_says_nothing_is_followed_by_another(lanes: Queue) -> None:
    await lanes.put([in_lanes(f"job-{n}", "host") for n in range(5)])
    first, *_ = await claim(lanes, Room(0, 1))
    (change,) = await finish(lanes, first, "host", verdict=Verdict(alive=True, hold_s=0.2, reason="429"))
    assert (change.state, change.step) == ("open", 0)
    assert await claim(lanes) == []
    (probe,) = await eventually(lambda: claim(lanes))
    await finish(lanes, probe, "host")
    assert len(await claim(lanes)) == 1


async def test_a_breaker_is_forced_open_and_closed_and_begins_as_the_ledger_says(lanes: Queue) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    was_open = Rule("host", breaker_state="open", breaker_until=until, breaker_step=3, breaker_reason="503")
    await build(lanes, was_open)
    await lanes.put([in_lanes("a", "host"), in_lanes("b", "host")])
    assert await claim(lanes) == []
    told = await state(lanes, "host")
    assert (told.breaker, told.breaker_step, told.breaker_reason) == ("open", 3, "503")
    await lanes.lanes.apply([Rule("host", breaker_forced="closed")])
    assert await claim(lanes, Room(0, 1)) == ["a"]
    await lanes.lanes.apply([Rule("host", breaker_forced="open")])
    assert await claim(lanes) == []
    assert (await state(lanes, "host")).breaker_forced == "open"


async def test_a_lane_whose_kind_says_so_is_paused_no_longer_than_that(lanes: Queue, redis: Redis) -> None:
    limits = '{"app:shop":{"longest_pause":30,"from":"kind"}}'
    await lanes.put([in_lanes(f"job-{n:02}", "app:shop", limits=limits) for n in range(40)])
    for one in await claim(lanes, Room(0, 5)):
        await finish(lanes, one, "app:shop", verdict=BAD)
    for step, longest in enumerate((10, 20, 30, 30, 30), 1):
        assert (await state(lanes, "app:shop")).breaker_step == step
        assert longest - 5 < await opens_in_s(lanes, "app:shop") <= longest
        await redis.hset("postlude:lane:app:shop", "until", "0")  # type: ignore[misc]
        await lanes.lanes.apply([])
        [probe] = await claim(lanes)
        await finish(lanes, probe, "app:shop", verdict=BAD)
    await redis.hset("postlude:lane:app:shop", "until", "0")  # type: ignore[misc]
    await lanes.lanes.apply([])
    [probe] = await claim(lanes)
    await finish(lanes, probe, "app:shop", verdict=Verdict(alive=False, hold_s=3600, reason="busy"))
    assert await opens_in_s(lanes, "app:shop") <= 30
