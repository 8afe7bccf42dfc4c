"""Lanes one by one: their limits, and how they are closed, rebuilt, woken, and mended."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from jobs.kit.lane import Lane, Rate
from service.lane_rules import Limits, Rule, limits_of, written_limits
from service.queue import (
    Holder,
    Member,
    Queue,
    Room,
    Runs,
    key_of,
    open_redis,
)
from service.queue.keys import turns_key_of, waiting_key_of
from tests.service.queue.ids import arq_job, entry
from tests.service.queue.in_lanes import ROOM, build, claim, finish, in_lanes, opens_in_s, state
from tests.support.running import eventually
from tests.support.servers import RedisServer

# ---- limits


async def test_a_lane_runs_no_more_than_its_concurrency_and_goes_on_when_one_ends(lanes: Queue) -> None:
    limits = written_limits(Lane("tenant:1", concurrency=2), None)
    await lanes.put([in_lanes(f"job-{n}", "tenant:1", limits=limits) for n in range(5)])
    assert sorted(await claim(lanes)) == ["job-0", "job-1"]
    assert await claim(lanes) == []
    await finish(lanes, "job-0", "tenant:1")
    assert await claim(lanes) == ["job-2"]
    told = await state(lanes, "tenant:1")
    assert (told.running, told.concurrency, told.opens_at) == (2, 2, None)
    assert told.waiting == 4, "what is claimed waits until it is started"


async def test_a_job_needs_both_its_lanes_and_waits_for_the_one_that_refuses_it(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("host", concurrency=1)])
    await lanes.put([in_lanes("a", "tenant:1", "host"), in_lanes("b", "tenant:1", "host")])
    assert await claim(lanes) == ["a"]
    assert await redis.zscore(waiting_key_of("default", "host"), "b") is not None
    assert await lanes.missing([Member("default", "b", "greet", ("tenant:1", "host"))]) == set()
    await finish(lanes, "a", "tenant:1", "host")
    assert await claim(lanes) == ["b"]
    assert await claim(lanes) == []


async def test_a_rate_is_a_bucket_and_what_is_not_started_is_given_back(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("mail", rate_limit=2, rate_per_s=60.0)])
    entries = [in_lanes(f"job-{n}", "mail") for n in range(4)]
    await lanes.put(entries)
    assert len(await claim(lanes)) == 2
    assert await claim(lanes) == []
    assert 25 < await opens_in_s(lanes, "mail") <= 30
    await lanes.put_back([entries[0]])
    assert await claim(lanes) == ["job-0"]
    assert await claim(lanes) == []


async def test_what_is_due_and_waits_for_a_rate_alone_is_told_from_what_else_waits(lanes: Queue) -> None:
    slow = Rule("rated", rate_limit=1, rate_per_s=3600)
    await lanes.lanes.apply([slow, replace(slow, key="paused", paused=True), replace(slow, key="later")])
    await lanes.put([in_lanes("a", "rated"), in_lanes("b", "later"), in_lanes("c", "later", due_in_s=20)])
    assert not await lanes.lanes.hold_by_rates(["default"])
    assert sorted(await claim(lanes)) == ["a", "b"]
    for job_id, lane in (("a", "rated"), ("b", "later")):
        await finish(lanes, job_id, lane)
    await lanes.put([in_lanes("d", "paused"), in_lanes("e", "free", due_in_s=20)])
    assert not await lanes.lanes.hold_by_rates(["default"])
    await lanes.put([in_lanes("f", "rated")])
    assert await lanes.lanes.hold_by_rates(["default"])
    assert not await lanes.lanes.hold_by_rates(["other"])


async def test_what_waits_for_a_rate_is_told_though_other_queues_have_nonsense_in_their_keys(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.lanes.apply([Rule("rated", rate_limit=1, rate_per_s=3600)])
    await lanes.put([in_lanes("a", "rated"), in_lanes("b", "rated")])
    assert await claim(lanes) == ["a"]
    await finish(lanes, "a", "rated")
    await redis.set(turns_key_of("odd"), "of another type")
    await redis.zadd(turns_key_of("foreign"), {"rated": 0})
    await redis.set(waiting_key_of("foreign", "rated"), "of another type")
    assert await lanes.lanes.hold_by_rates(["odd", "foreign", "default"])


async def test_a_rate_is_kept_over_time(lanes: Queue) -> None:
    limits = written_limits(Lane("mail", rate=Rate(10, per=0.1)), None)
    await lanes.put([in_lanes(f"job-{n:03}", "mail", limits=limits) for n in range(200)])
    began = asyncio.get_running_loop().time()
    started = 0

    async def enough() -> bool:
        nonlocal started
        started += len(await claim(lanes))
        return started >= 60

    await eventually(enough)
    took = asyncio.get_running_loop().time() - began
    assert started <= 10 + 100 * (took + 0.05)


async def test_buckets_are_empty_after_a_rebuild(lanes: Queue) -> None:
    await build(lanes, Rule("mail", rate_limit=100, rate_per_s=86_400.0), first=False)
    await lanes.put([in_lanes("a", "mail")])
    assert await claim(lanes) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rules=st.lists(
        st.builds(
            Rule,
            st.text("ab*", min_size=1, max_size=5),
            concurrency=st.none() | st.integers(1, 9),
            rate_limit=st.integers(1, 9),
            rate_per_s=st.none() | st.just(0.5),
            strict=st.booleans(),
        ),
        unique_by=lambda rule: rule.key,
        max_size=6,
    ),
    key=st.text("ab", min_size=1, max_size=4),
    sent=st.none() | st.integers(1, 9),
    of_kind=st.none() | st.integers(1, 9),
)
async def test_the_limits_that_hold_are_those_that_the_rules_give(
    lanes: Queue, rules: list[Rule], key: str, sent: int | None, of_kind: int | None
) -> None:
    await lanes.redis.flushall()
    await build(lanes, *rules)
    of_request = Lane(key, concurrency=sent) if sent else None
    await lanes.put([in_lanes("a", key, limits=written_limits(None, Lane(key, concurrency=of_kind)))])
    await lanes.put([in_lanes("b", key, limits=written_limits(of_request, None))])
    told = await state(lanes, key)
    wanted = limits_of(rules, key, sent=Limits(concurrency=sent), of_kind=Limits(concurrency=of_kind))
    assert (told.concurrency, told.rate, told.strict or None) == (wanted.concurrency, wanted.rate, wanted.strict)


async def test_the_latest_job_says_what_holds_and_an_older_one_no_more(lanes: Queue) -> None:
    for job_id, concurrency in (("b", 2), ("a", 9), ("c", 3)):
        limits = written_limits(Lane("t", concurrency=concurrency), None)
        await lanes.put([in_lanes(job_id, "t", limits=limits)])
        assert (await state(lanes, "t")).concurrency == max(2, concurrency if job_id > "a" else 2)


async def test_a_destination_without_limits_takes_its_share_of_a_worker_and_others_go_on(lanes: Queue) -> None:
    limits = written_limits(None, Lane("host:dead"))
    await lanes.put([in_lanes(f"dead-{n:03}", "host:dead", limits=limits) for n in range(600)])
    mine = Room(10, 10, lane_share=2, kind_share=9)
    taken = await lanes.claim(["default"], mine)
    assert len(taken.claimed) == 2
    held = Room(8, 8, lane_share=2, kind_share=9, held={"host:dead": 2, "kind:greet": 2})
    await lanes.put([in_lanes("mail", "smtp:x", kind="mail")])
    taken = await lanes.claim(["default"], held)
    assert [one.member for one in taken.claimed] == [b"mail"]
    assert taken.left.names == {"host:dead"}
    now_ms = datetime.now(UTC).timestamp() * 1000
    due_ms = await lanes.next_due_ms(["default"], (await lanes.claim(["default"], held)).left)
    assert due_ms is None or due_ms > now_ms + 1_000, "a worker whose shares are full does not spin"
    assert len(await claim(lanes, mine)) == 2, "another worker has its own share"


async def test_lanes_take_turns(lanes: Queue) -> None:
    await lanes.put([in_lanes(f"many-{n:03}", "many") for n in range(100)])
    await lanes.put([in_lanes(f"few-{n}", f"few-{n}") for n in range(10)])
    claimed = await claim(lanes, Room(0, 22))
    assert sum(one.startswith("few") for one in claimed) == 10
    assert len(claimed) == 22, "one lane gets what the others leave"


async def test_half_of_a_claim_is_for_lanes_and_none_of_them_is_prefetched(lanes: Queue) -> None:
    await lanes.put([entry(f"plain-{n:02}") for n in range(50)])
    await lanes.put([in_lanes(f"lane-{n:02}", "t") for n in range(50)])
    taken = await lanes.claim(["default"], Room(20, 20))
    assert sum(one.in_lane for one in taken.claimed) == 10
    taken = await lanes.claim(["default"], Room(20, 3))
    assert sum(one.in_lane for one in taken.claimed) == 3
    assert len(taken.claimed) == 20
    taken = await lanes.claim(["default"], Room(20, 0))
    assert not any(one.in_lane for one in taken.claimed)


async def test_priority_moves_ids_in_lanes_and_low_ones_come_last(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("t", concurrency=1)])
    await lanes.put([in_lanes("low", "t", priority=-1), in_lanes("plain", "t"), in_lanes("high", "t", priority=1)])
    for wanted in ("high", "plain", "low"):
        assert await claim(lanes) == [wanted]
        await finish(lanes, wanted, "t")


# ---- closed lanes


async def test_nothing_in_lanes_is_claimed_until_they_are_built_for_this_redis(queue: Queue, redis: Redis) -> None:
    await queue.put([in_lanes("a", "t"), entry("plain")])
    taken = await queue.claim(["default"], ROOM)
    assert ([one.member for one in taken.claimed], taken.lanes_epoch, taken.left.all_lanes) == ([b"plain"], "", True)
    assert await queue.next_due_ms(["default"], taken.left) is not None
    await queue.lanes.rebuild("another:epoch", [], [])
    assert await claim(queue) == []
    epoch = await queue.epoch()
    await queue.lanes.rebuild(f"{epoch}/1", [], [])
    assert await queue.lanes.built_epoch() == f"{epoch}/1"
    taken = await queue.claim(["default"], ROOM)
    assert ([one.member for one in taken.claimed], taken.lanes_epoch) == ([b"a"], f"{epoch}/1")
    await redis.delete("postlude:epoch")
    await queue.put([in_lanes("b", "t")])
    assert await claim(queue) == []


async def test_a_rebuild_holds_what_runs_and_ends_with_what_does_not(lanes: Queue) -> None:
    await lanes.put([in_lanes(one, "t") for one in "abc"])
    await lanes.lanes.apply([Rule("t", concurrency=2)])
    await claim(lanes)
    await lanes.lanes.rebuild(await lanes.epoch(), [Rule("t", concurrency=2)], [Runs("x", ("t",), "default")])
    assert [one async for one in lanes.lanes.running()] == [Holder("t", "x", 0)]
    assert await claim(lanes) == ["c"]
    assert await claim(lanes) == []


async def test_only_the_last_of_two_rebuilds_opens_lanes(lanes: Queue, redis: Redis) -> None:
    await redis.set("postlude:lanes-building", "another")
    with pytest.raises(ResponseError, match="another worker"):
        await lanes._scripts.build("mine", "open", ["epoch"])


async def test_a_claim_that_nobody_answers_for_is_ended_unless_it_is_newer(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("t", concurrency=1)])
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")])
    await claim(lanes)
    (holder,) = [one async for one in lanes.lanes.running()]
    await lanes.lanes.release_if("t", "a", holder.claim_ms - 1)
    assert await claim(lanes) == []
    await lanes.lanes.release_if("t", "a", holder.claim_ms)
    assert await claim(lanes) == ["b"]


# ---- around


async def test_whatever_opens_a_lane_wakes_an_idle_worker(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("t", concurrency=1)])
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "t")])
    assert await lanes.woken(["default"], 1)
    await claim(lanes)
    await redis.delete("postlude:wake:default")
    await finish(lanes, "a", "t")
    assert await lanes.woken(["default"], 1)
    await redis.delete("postlude:wake:default")
    await lanes.lanes.apply([Rule("t", paused=True)])
    assert not await redis.exists("postlude:wake:default")
    await lanes.lanes.apply([])
    assert await lanes.woken(["default"], 1)


async def test_a_foreign_id_in_a_lane_stays_on_its_queue_for_its_client(lanes: Queue) -> None:
    await lanes.redis.enqueue_job("greet", _job_id="theirs")
    given = in_lanes("theirs", "host")
    await eventually(lambda: claim(lanes))
    await lanes.put_back([given])
    assert await lanes.redis.zscore(key_of("default"), "theirs") is not None
    taken = await lanes.claim(["default"], ROOM)
    assert [(one.member, one.in_lane) for one in taken.claimed] == [(b"theirs", True)]
    await lanes.lanes.started([Runs("theirs", ("host",), "default")])
    assert (await state(lanes, "host")).running == 1
    assert (await arq_job(lanes, "theirs").info()) is not None


async def test_an_id_on_the_queue_whose_job_is_in_a_lane_goes_there(lanes: Queue, redis: Redis) -> None:
    await lanes.put([entry("a")])
    await claim(lanes)
    await lanes.put_back([in_lanes("a", "t")])
    assert await redis.zscore(key_of("default"), "a") is None
    taken = await lanes.claim(["default"], ROOM)
    assert [one.in_lane for one in taken.claimed] == [True]


@pytest.mark.parametrize(
    "key",
    [
        "lane:t", "lane-running:t", "lane-waiting:default,t", "lane-turns:default", "lanes", "lane-free", "lane-rules",
        "lane-patterns", "lane-low:default", "lanes-epoch", "lanes-built", "paused",
    ],
)  # fmt: skip
async def test_a_key_of_another_type_breaks_no_claim_and_lanes_work_again_once_rebuilt(
    lanes: Queue, redis: Redis, key: str
) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("low", "t", priority=-1)])
    await redis.delete(f"postlude:{key}")
    if key in ("lane-patterns", "lanes-epoch", "lanes-built"):
        await redis.lpush(f"postlude:{key}", "nonsense")  # type: ignore[misc]
    else:
        await redis.set(f"postlude:{key}", "nonsense")
    await lanes.put([entry("plain"), in_lanes("b", "t")])
    with capture_logs():
        claimed = await claim(lanes)
        assert "plain" in claimed
        await build(lanes)
        await lanes.put([in_lanes("a", "t"), in_lanes("b", "t"), in_lanes("c", "t")])
        assert "c" in [*claimed, *await claim(lanes)]


async def test_hostile_members_and_fields_break_nothing(lanes: Queue, redis: Redis) -> None:
    await redis.zadd("postlude:lane-turns:default", {b"": 1, b"x" * 100_000: 1, b"\xff": 1, b"kind:": 1, b"t": 1})
    await redis.zadd(waiting_key_of("default", "t"), {b"": 1, b"y" * 100_000: 1, b"\xff\xfe": 2, b"no-payload": 3})
    await redis.sadd("postlude:lanes", b"", b"t", b"\xff")  # type: ignore[misc]
    fields = {"concurrency": "nan", "rate": "inf", "per": "-1", "tokens": "x", "until": "y", "paused_until": "z"}
    await redis.hset("postlude:lane:t", mapping={**fields, "breaker": "odd", "sent": "{", "given": "[1]"})  # type: ignore[misc]
    for number, payload in enumerate(
        (b"\xff", b'{"postlude":1,"lanes":[1,{}]}', b'{"postlude":1,"lanes":5}', b"[" * 5_000)
    ):
        await redis.set(f"arq:job:odd-{number}", payload)
        await redis.zadd(waiting_key_of("default", "t"), {f"odd-{number}": 4})
    await lanes.put([in_lanes("a", "u"), in_lanes("b", "t"), entry("plain")])
    with capture_logs():
        seen = [one for _ in range(3) for one in await claim(lanes)]
    assert {"plain", "a"} <= set(seen)
    await state(lanes, "t")


async def test_a_full_redis_still_lets_claims_and_releases_through(short_dir: Path) -> None:
    server = RedisServer(short_dir / "redis-full")
    server.start()
    arq = open_redis(server.url)
    full = Queue(arq)
    try:
        await build(full)
        await full.put([in_lanes("a", "t"), entry("plain")])
        await arq.config_set("maxmemory", 1)
        assert sorted(await claim(full)) == ["a", "plain"]
        await full.put_back([in_lanes("a", "t")])
        assert await claim(full) == ["a"]
        await finish(full, "a", "t")
    finally:
        await arq.aclose(close_connection_pool=True)
        server.stop()


async def test_a_claim_never_looks_at_lanes_that_are_held(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("paused-*", paused=True), Rule("full-*", concurrency=1)])
    await lanes.put([in_lanes(f"p-{n}", f"paused-{n}") for n in range(300)])
    await lanes.put([in_lanes(f"f-{n}-{m}", f"full-{n}") for n in range(300) for m in range(2)])
    assert len(await claim(lanes, Room(0, 500))) == 300
    await lanes.put([in_lanes("mine", "mine")])
    await claim(lanes, Room(0, 0))
    await redis.config_resetstat()
    assert await claim(lanes) == ["mine"]
    stats = await redis.info("commandstats")
    assert sum(one["calls"] for one in stats.values()) < 60
