"""Strict lanes wait for their heads, wherever these wait."""

from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from jobs.kit.lane import Lane
from service.lane_rules import Rule, written_limits
from service.queue import Entry, Queue
from service.queue.keys import LANES, lane_key_of, running_key_of
from tests.service.queue.in_lanes import ROOM, claim, finish, in_lanes

ORDER = Rule("order", strict=True)
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


async def _due_in_s(queue: Queue) -> float:
    due_ms = await queue.next_due_ms(["default"])
    return float("inf") if due_ms is None else due_ms / 1000 - datetime.now(UTC).timestamp()


async def _refuse(queue: Queue, entry: Entry, head: Entry) -> None:
    """Do what a worker does with an id that the ledger refuses because of its lane's first job."""
    await queue.lanes.set_head("order", head.id, head.due_at)
    await queue.put_back([entry])


async def test_what_is_behind_a_head_that_its_other_lane_holds_back_is_not_offered_again_and_again(
    lanes: Queue,
) -> None:
    paused = Rule("host", paused=True)
    await lanes.lanes.apply([ORDER, paused])
    first = in_lanes("a", "order", "host")._replace(due_at=LONG_AGO)
    second = in_lanes("b", "order")
    await lanes.put([first, second])
    assert await claim(lanes) == ["b"], "the ledger knows better"
    await _refuse(lanes, second, head=first)
    assert await claim(lanes) == []
    assert await _due_in_s(lanes) > 5
    await lanes.lanes.apply([ORDER])
    assert await claim(lanes) == ["a"]
    await finish(lanes, "a", "order", "host")
    assert await claim(lanes) == ["b"]


async def test_what_is_behind_a_head_whose_kind_is_paused_is_not_offered_again_and_again(lanes: Queue) -> None:
    await lanes.lanes.apply([ORDER, Rule("kind:slow", paused=True)])
    first = in_lanes("a", "order", kind="slow")._replace(due_at=LONG_AGO)
    second = in_lanes("b", "order")
    await lanes.put([first, second])
    assert await claim(lanes) == ["b"]
    await _refuse(lanes, second, head=first)
    assert await claim(lanes) == []
    assert await _due_in_s(lanes) > 5
    await lanes.lanes.apply([ORDER])
    assert await claim(lanes) == ["a"]


async def test_a_worker_is_not_kept_busy_by_a_head_on_a_queue_that_it_does_not_work(lanes: Queue) -> None:
    await lanes.lanes.apply([ORDER])
    head = in_lanes("a", "order")._replace(queue="other", due_at=LONG_AGO)
    await lanes.put([head])
    await lanes.lanes.set_head("order", "a", LONG_AGO)
    await lanes.put([in_lanes("b", "order")])
    assert await claim(lanes) == []
    assert await _due_in_s(lanes) > 1
    assert [one.member for one in (await lanes.claim(["other"], ROOM)).claimed] == [b"a"]
    await lanes.remove("other", [b"a"])
    await finish(lanes, "a", "order")
    assert await claim(lanes) == ["b"]


async def test_a_lane_is_turned_to_a_head_that_nobody_has_put_only_now_and_then(lanes: Queue) -> None:
    await lanes.lanes.apply([ORDER])
    second = in_lanes("b", "order")
    await lanes.put([second])
    assert await claim(lanes) == ["b"]
    await _refuse(lanes, second, head=in_lanes("a", "order")._replace(due_at=LONG_AGO))
    assert await claim(lanes) == []
    assert await _due_in_s(lanes) > 1


BRINGS_ORDER = '{"order":{"order":"strict","from":"request"}}'


async def _is_strict(queue: Queue, job_id: str, *lanes: str) -> bool:
    """Put, claim and end a job that brings no limits; whether it was claimed as one of a strict lane."""
    await queue.put([in_lanes(job_id, *lanes)])
    [claimed] = (await queue.claim(["default"], ROOM)).claimed
    assert claimed.member == job_id.encode()
    await finish(queue, job_id, *lanes)
    return claimed.strict == ("order",)


async def _time_ms(queue: Queue) -> int:
    return (await queue.lanes.remembered_orders())[0]


async def test_a_job_that_waits_for_its_kind_keeps_its_order_in_its_lane(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("kind:slow", paused=True)])
    await lanes.put([in_lanes("a", "order", kind="slow", limits=BRINGS_ORDER)])
    assert await claim(lanes) == []
    assert await _is_strict(lanes, "b", "order")
    assert await _is_strict(lanes, "c", "order")


async def test_a_job_gives_its_second_lane_its_order_before_the_first_admits_it(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("tenant", paused=True)])
    await lanes.put([in_lanes("a", "tenant", "order", limits=BRINGS_ORDER.replace("request", "kind"))])
    assert await _is_strict(lanes, "b", "order")


async def test_an_order_that_came_with_a_job_is_forgotten_when_the_ledger_has_no_job_of_the_lane(
    lanes: Queue, redis: Redis
) -> None:
    await lanes.put([in_lanes("a", "order", limits=BRINGS_ORDER)])
    await claim(lanes)
    assert (await lanes.lanes.remembered_orders())[1] == []
    await finish(lanes, "a", "order")
    at_ms, remembered = await lanes.lanes.remembered_orders()
    assert remembered == ["order"]
    await lanes.lanes.keep_orders([], ["order"], at_ms)
    assert not await redis.keys("postlude:lane*:order")
    assert (await lanes.lanes.remembered_orders())[1] == []
    assert not await _is_strict(lanes, "b", "order")


async def test_an_order_stays_that_came_with_another_job_after_the_ledger_was_asked(lanes: Queue) -> None:
    await lanes.put([in_lanes("a", "order", limits=BRINGS_ORDER)])
    await claim(lanes)
    await finish(lanes, "a", "order")
    before_ms = await _time_ms(lanes)
    await lanes.put([in_lanes("b", "order", limits=BRINGS_ORDER)])
    await lanes.lanes.keep_orders([], ["order"], before_ms)
    while await _time_ms(lanes) == before_ms:
        pass
    await lanes.remove("default", [b"b"])
    await lanes.lanes.keep_orders([], ["order"], before_ms)
    assert await _is_strict(lanes, "c", "order")


async def test_an_order_that_is_kept_outlives_what_redis_would_remember_by_itself(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "order", limits=BRINGS_ORDER)])
    await claim(lanes)
    await finish(lanes, "a", "order")
    await redis.pexpire(lane_key_of("order"), 1_000)
    await lanes.lanes.keep_orders(["order"], [], await _time_ms(lanes))
    assert await redis.pttl(lane_key_of("order")) > 60_000
    assert (await lanes.lanes.remembered_orders())[1] == [], "not asked again at once"
    assert await _is_strict(lanes, "b", "order")


async def test_the_hash_of_a_lane_in_use_does_not_expire(lanes: Queue, redis: Redis) -> None:
    await lanes.put([in_lanes("a", "order", limits=BRINGS_ORDER)])
    await claim(lanes)
    await finish(lanes, "a", "order")
    assert await redis.pttl(lane_key_of("order")) > 0
    other = BRINGS_ORDER.replace('"from"', '"rate":{"limit":1,"per":60},"from"')
    await lanes.put([in_lanes("b", "order", limits=other)])
    assert await redis.pttl(lane_key_of("order")) == -1
    await lanes.lanes.keep_orders(["order"], [], await _time_ms(lanes))
    assert await redis.pttl(lane_key_of("order")) == -1


async def test_heads_are_told_though_other_lanes_have_nonsense_in_their_keys(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([ORDER, Rule("odd", strict=True), Rule("foreign", strict=True)])
    for lane in ("order", "odd", "foreign"):
        entry = in_lanes(f"in-{lane}", lane)
        await lanes.put([entry])
        await lanes.lanes.set_head(lane, entry.id, entry.due_at)
    await redis.hset(lane_key_of("odd"), "head_due", "soon")  # type: ignore[misc]
    for key in (lane_key_of("foreign"), running_key_of("foreign")):
        await redis.delete(key)
        await redis.set(key, "of another type")
    [heads] = [heads async for heads in lanes.lanes.heads()]
    assert {lane: head for lane, (head, _) in heads.items()} == {"order": "in-order", "odd": "in-odd"}
    assert heads["odd"][1] == 0
    assert [holder async for holder in lanes.lanes.running()] == []


async def test_a_lane_in_use_that_an_older_version_let_expire_is_kept_once_the_leader_places_it(
    lanes: Queue, redis: Redis
) -> None:
    limits = written_limits(Lane("order", order="strict"), None)
    await lanes.put([in_lanes("a", "order", limits=limits)])
    await redis.expire(lane_key_of("order"), 600)
    await lanes.lanes.apply([])
    assert await redis.ttl(lane_key_of("order")) == -1


async def test_only_empty_lanes_expire_once_the_leader_has_looked(lanes: Queue, redis: Redis) -> None:
    for job_id, lane in (("a", "order"), ("b", "emptied")):
        await lanes.put([in_lanes(job_id, lane, limits=written_limits(Lane(lane, order="strict"), None))])
    assert sorted(await claim(lanes)) == ["a", "b"]
    await finish(lanes, "b", "emptied")
    await redis.sadd(LANES, "emptied")  # type: ignore[misc]  # as where it becomes empty during the look
    await redis.expire(lane_key_of("order"), 600)
    await lanes.lanes.stop_expiry()
    assert await redis.ttl(lane_key_of("order")) == -1
    assert await redis.ttl(lane_key_of("emptied")) > 0
    assert await redis.smembers(LANES) == {b"order"}  # type: ignore[misc]
