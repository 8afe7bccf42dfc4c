"""Paused lanes, queues and kinds; kinds that have their share of a worker."""

import json
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from service.lane_rules import Rule
from service.queue import (
    Entry,
    Member,
    Queue,
    Release,
    Room,
)
from tests.service.queue.ids import entry
from tests.service.queue.in_lanes import ROOM, build, claim, in_lanes, state
from tests.support.running import eventually


async def test_a_paused_lane_waits_and_goes_on_at_its_time(lanes: Queue) -> None:
    await lanes.put([in_lanes("a", "t"), in_lanes("b", "u")])
    soon = datetime.now(UTC) + timedelta(seconds=0.4)
    await lanes.lanes.apply([Rule("t", paused=True, paused_until=soon), Rule("u*", paused=True)])
    assert await claim(lanes) == []
    assert (await state(lanes, "u")).paused
    assert await eventually(lambda: claim(lanes)) == ["a"]
    await lanes.lanes.apply([])
    assert await claim(lanes) == ["b"]


async def test_a_paused_queue_and_a_paused_kind_start_nothing(lanes: Queue, redis: Redis) -> None:
    await lanes.put([entry("a"), in_lanes("b", "t"), Entry("mail", "mail", "default", datetime.now(UTC))])
    await lanes.lanes.apply([Rule("kind:greet", paused=True)])
    assert await claim(lanes) == ["mail"]
    assert await claim(lanes) == []
    assert await lanes.next_due_ms(["default"]) > (datetime.now(UTC).timestamp() + 5) * 1000  # type: ignore[operator]
    await lanes.put([entry("c")])
    assert await lanes.missing([Member("default", "a", "greet"), Member("default", "b", "greet", ("t",))]) == set()
    assert await claim(lanes) == []
    await lanes.lanes.apply([Rule("queue:default", paused=True)])
    taken = await lanes.claim(["default"], ROOM)
    assert (taken.claimed, taken.left.names) == ([], frozenset({"queue:default"}))
    await lanes.lanes.apply([])
    assert sorted(await claim(lanes)) == ["a", "b", "c"]
    await lanes.remove("default", [b"a", b"b", b"c", b"mail"])
    await lanes.lanes.release([Release("b", ("t",))])
    assert await redis.keys("postlude:lane-*:*") == []


async def test_a_queue_that_is_resumed_wakes_a_worker(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("queue:default", paused=True), Rule("queue:other", paused=True)])
    await lanes.put([entry("a")])
    await redis.delete("postlude:wake:default")
    await lanes.lanes.apply([Rule("queue:other", paused=True)])
    assert await lanes.woken(["default"], 0.01)
    await lanes.lanes.apply([Rule("queue:other", paused=True)])
    assert not await lanes.woken(["default", "other"], 0.01)


async def test_what_sql_says_is_paused_counts_while_lanes_are_closed(queue: Queue) -> None:
    await queue.put([entry("a")])
    assert await claim(queue, Room(10, 10, paused=("kind:greet",))) == []
    assert await claim(queue, Room(10, 10, paused=("queue:default",))) == []
    await build(queue)
    assert await claim(queue, Room(10, 10, paused=("kind:greet", "queue:default"))) == ["a"], "Redis knows better"


async def test_ids_of_a_kind_that_has_its_share_wait_for_it_and_others_go_on(lanes: Queue) -> None:
    await lanes.put([entry(f"hook-{n:03}", -60) for n in range(600)])
    await lanes.put([Entry("mail", "mail", "default", datetime.now(UTC))])
    full = Room(2, 2, kind_share=14, held={"kind:greet": 14})
    assert await claim(lanes, full) == ["mail"]
    taken = await lanes.claim(["default"], full)
    assert (taken.claimed, taken.left.names) == ([], frozenset({"kind:greet"}))
    due_ms = await lanes.next_due_ms(["default"], taken.left)
    assert due_ms is None or due_ms > (datetime.now(UTC).timestamp() + 5) * 1000
    assert await claim(lanes, Room(3, 3, kind_share=14)) == ["hook-000", "hook-001", "hook-002"]


async def test_an_id_that_waited_for_its_kind_still_waits_for_what_was_said_of_its_lanes_meanwhile(
    lanes: Queue,
) -> None:
    await lanes.put([in_lanes("a", "t")])
    paused_kind, paused_lanes = Rule("kind:greet", paused=True), Rule("t*", paused=True)
    await lanes.lanes.apply([paused_kind])
    assert await claim(lanes) == []  # it waits for its kind now, and nothing waits in its lane
    await lanes.lanes.apply([paused_kind, paused_lanes])
    await lanes.lanes.apply([paused_lanes])
    assert await claim(lanes) == []
    await lanes.lanes.apply([])
    assert await claim(lanes) == ["a"]


async def test_a_rule_for_the_second_lane_holds_for_the_first_job_that_comes_to_it(lanes: Queue) -> None:
    await lanes.lanes.apply([Rule("second", paused=True)])
    await lanes.put([in_lanes("a", "first", "second")])
    assert await claim(lanes) == []
    await lanes.lanes.apply([])
    assert await claim(lanes) == ["a"]


def call(job_id: str, function: str) -> Entry:
    limits = json.dumps({"app:shop": {"label": f"shop.{function}", "from": "kind"}})
    return in_lanes(job_id, "app:shop", kind="call_app", limits=limits)


async def test_a_paused_label_holds_back_its_jobs_and_no_others_of_the_kind(lanes: Queue, redis: Redis) -> None:
    await lanes.put([call("a", "send"), call("b", "sync"), in_lanes("c", "app:shop", kind="call_app")])
    await lanes.lanes.apply([Rule("kind:shop.send", paused=True)])
    assert sorted(await claim(lanes)) == ["b", "c"]
    assert await claim(lanes) == []
    waiting = Member("default", "a", "call_app", ("app:shop",), "shop.send")
    assert await lanes.missing([waiting]) == set()
    await lanes.put([call("a", "send")])
    assert await claim(lanes) == []
    await lanes.lanes.apply([])
    assert await claim(lanes) == ["a"]
    await lanes.remove("default", [b"a", b"b", b"c"])
    await lanes.lanes.release([Release(one, ("app:shop",)) for one in "abc"])
    assert await redis.keys("postlude:lane-*:*") == []


async def test_a_paused_kind_holds_back_all_that_has_a_label_too(lanes: Queue, redis: Redis) -> None:
    await lanes.lanes.apply([Rule("kind:call_app", paused=True)])
    await lanes.put([call("a", "send"), call("b", 'odd "name"'), in_lanes("c", "app:shop", kind="other")])
    assert await claim(lanes) == ["c"]
    await lanes.lanes.apply([Rule("kind:shop.send", paused=True)])
    assert await claim(lanes) == ["b"]
    await lanes.remove("default", [b"a"])
    await lanes.lanes.apply([])
    assert await claim(lanes) == []


async def test_a_label_that_waits_is_removed_and_given_back_where_it_stands(lanes: Queue, redis: Redis) -> None:
    await lanes.put([call("a", "send")])
    taken = await lanes.claim(["default"], ROOM)
    assert [one.member for one in taken.claimed] == [b"a"]
    await lanes.put_back([call("a", "send")], taken.claim_ms)
    await lanes.lanes.apply([Rule("kind:shop.send", paused=True)])
    assert await claim(lanes) == []
    assert await redis.zscore("postlude:lane-waiting:default,kind:shop.send", "a") is not None
    await lanes.prioritise([call("a", "send")])
    await lanes.remove("default", [b"a"])
    assert await redis.zscore("postlude:lane-waiting:default,kind:shop.send", "a") is None
