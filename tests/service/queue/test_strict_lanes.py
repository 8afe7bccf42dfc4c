"""Strict lanes wait for their heads, wherever these wait."""

from datetime import UTC, datetime, timedelta

from service.lane_rules import Rule
from service.queue import Entry, Queue
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
