import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from service.ledger.ledger import Ledger
from service.ledger.reads import lanes as reads
from service.ledger.reads.lanes import LaneCounts
from service.ledger.records.lanes import Said, record_rule
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, build_lanes, enqueue, finish, live_worker, new_job, start_in_lane


async def read(ledger: Ledger, what: Any, *args: Any, **options: Any) -> Any:
    async with ledger.read() as connection:
        return await what(connection, *args, **options)


async def say(ledger: Ledger, key: str, **said: Any) -> None:
    await ledger.database.run(partial(record_rule, key=key, said=cast(Said, said), at=NOW))


async def test_jobs_are_counted_in_both_of_their_lanes(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    runs, ends = (new_job(lane="tenant:42", kind_lane="host:a") for _ in range(2))
    await enqueue(ledger, runs, ends, new_job(lane="tenant:42"), new_job(kind_lane="tenant:42"), new_job())
    started = await start_in_lane(ledger, runs.id, ends.id)
    await ledger.finish(finish(started[ends.id], Outcome.SUCCEEDED, State.SUCCEEDED))
    counts = await read(ledger, reads.count_in_lanes, ["tenant:42", "host:a", "empty"])
    assert counts == {"tenant:42": LaneCounts(2, 1), "host:a": LaneCounts(0, 1), "empty": LaneCounts(0, 0)}


async def test_lanes_with_a_rule_or_a_live_job_are_listed_by_key_page_by_page(ledger: Ledger) -> None:
    ended = new_job(lane="tenant:9")
    lanes = [("tenant:2", "host:a"), ("tenant:1", "host:a"), ("tenant:1", None), (None, "Ünder"), ("_x", "Z")]
    await enqueue(ledger, ended, *(new_job(lane=lane, kind_lane=kind_lane) for lane, kind_lane in lanes))
    await ledger.cancel(ended.id, "test", NOW)
    for key in ("tenant:*", "tenant:1", "queue:default"):
        await say(ledger, key, concurrency=1)
    await say(ledger, "tenant:8", paused=True, paused_until=NOW + timedelta(seconds=1))
    assert "tenant:8" in await read(ledger, reads.lane_keys, NOW, prefix="", after="", limit=99)
    later = NOW + timedelta(seconds=1)
    keys = sorted({"tenant:2", "tenant:1", "host:a", "Ünder", "_x", "Z", "tenant:*"})
    paged: list[str] = []
    while page := await read(ledger, reads.lane_keys, later, prefix="", after=paged[-1] if paged else "", limit=3):
        assert len(page) <= 3
        paged += page
    assert paged == keys
    assert await read(ledger, reads.lane_keys, later, prefix="tenant:", after="", limit=9) == keys[3:6]
    assert await read(ledger, reads.lane_keys, later, prefix="tenant:", after="tenant:1", limit=9) == ["tenant:2"]
    assert await read(ledger, reads.lane_keys, later, prefix="tenant_", after="", limit=9) == []


async def test_jobs_that_bring_an_order_are_found_page_by_page(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "_LANES_OF_A_PAGE", 2)
    limits = {key: json.dumps({key: {"order": "strict", "from": "request"}}, separators=(",", ":")) for key in "abcd"}
    behind, ended, second = (replace(new_job(lane=key), lane_limits=limits[key]) for key in "abc")
    of_kind = replace(new_job(kind_lane="d"), lane_limits=limits["d"])
    also_of_a_page = replace(new_job(lane="d"), lane_limits=limits["d"])
    to_its_other_lane = replace(new_job(lane="c", kind_lane="d"), lane_limits=limits["d"])
    await enqueue(ledger, new_job(lane="a"), new_job(lane="b"), ended, behind, second, to_its_other_lane, of_kind)
    await enqueue(ledger, also_of_a_page)
    await ledger.cancel(ended.id, "test", NOW)
    pages = [await read(ledger, reads.bring_order, after=after) for after in ("", "b", "d")]
    found = [({one.id for one in some}, last) for some, last in pages]
    assert found == [({behind.id}, "b"), ({second.id, of_kind.id, also_of_a_page.id}, "d"), (set(), None)]


async def test_the_head_of_a_lane_is_its_first_live_job_whoever_named_it(ledger: Ledger) -> None:
    first, second, third = new_job(kind_lane="a"), new_job(lane="a", arq_id="arq-2"), new_job(lane="a")
    await enqueue(ledger, first, second, third, new_job(lane="b"))
    for job, member in ((first, first.id), (second, "arq-2"), (third, third.id)):
        head = await read(ledger, reads.strict_head, "a")
        assert (head.id, head.member, head.lanes, head.run_at) == (job.id, member, ("a",), NOW)
        await ledger.cancel(job.id, "test", NOW)
    assert await read(ledger, reads.strict_head, "a") is None


async def test_the_first_live_jobs_of_many_lanes_are_found_at_once(ledger: Ledger) -> None:
    ended, first, second = new_job(lane="a"), new_job(lane="a", kind_lane="b"), new_job(lane="b", kind_lane="c")
    await enqueue(ledger, ended, first, second)
    await ledger.cancel(ended.id, "test", NOW)
    firsts = await read(ledger, reads.first_in_lanes, ["a", "b", "c", "empty"])
    assert firsts == {"a": first.id, "b": first.id, "c": second.id}


async def test_a_lane_is_known_by_a_rule_or_by_any_job_that_is_kept(ledger: Ledger) -> None:
    ended = new_job(lane="a", kind_lane="b")
    await enqueue(ledger, ended)
    await ledger.cancel(ended.id, "test", NOW)
    await say(ledger, "c:*", concurrency=1)
    known = {key: await read(ledger, reads.is_known, key) for key in ("a", "b", "c:*", "c:1", "d")}
    assert known == {"a": True, "b": True, "c:*": True, "c:1": False, "d": False}


async def test_the_rules_for_a_lane_are_its_own_and_all_patterns(ledger: Ledger) -> None:
    for key in ("a", "b", "c:*", "*", "kind:greet"):
        await say(ledger, key, concurrency=1)
    assert {rule.key for rule in await read(ledger, reads.rules_for, ["a", "d"])} == {"a", "c:*", "*"}


async def test_members_of_queues_that_run_are_told_from_those_that_do_not(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    runs, adopted, waits = new_job(lane="a"), new_job(lane="a", arq_id="arq-1"), new_job(lane="a")
    await enqueue(ledger, runs, adopted, waits)
    await start_in_lane(ledger, runs.id, adopted.id)
    assert await read(ledger, reads.running_among, {runs.id, "arq-1", waits.id, "gone"}) == {runs.id, "arq-1"}
    assert {one.member for one in await read(ledger, reads.running_in_lanes)} == {runs.id, "arq-1"}
    stand = await read(ledger, reads.standing_in_lanes, [waits.id, "gone"])
    assert [(one.id, one.lanes, one.state) for one in stand] == [(waits.id, ("a",), State.QUEUED)]


async def test_a_pause_is_over_when_its_time_has_come(ledger: Ledger) -> None:
    await say(ledger, "queue:slow", paused=True)
    await say(ledger, "kind:greet", paused=True, paused_until=NOW + timedelta(seconds=1))
    await say(ledger, "a", concurrency=1)
    assert {rule.key for rule in await read(ledger, reads.paused, NOW)} == {"queue:slow", "kind:greet"}
    later = NOW + timedelta(seconds=1)
    assert {rule.key for rule in await read(ledger, reads.paused, later)} == {"queue:slow"}
    assert await read(ledger, reads.find_rule, "b") is None


async def test_lanes_are_in_use_once_a_rule_or_a_request_names_one(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(kind_lane="host:a"), new_job())
    assert not await read(ledger, reads.has_lanes, NOW)
    await enqueue(ledger, named := new_job(lane="a"))
    assert await read(ledger, reads.has_lanes, NOW)
    await ledger.cancel(named.id, "test", NOW)
    assert not await read(ledger, reads.has_lanes, NOW)
    await say(ledger, "queue:slow", paused=True, paused_until=NOW + timedelta(seconds=1))
    assert await read(ledger, reads.has_lanes, NOW)
    assert not await read(ledger, reads.has_lanes, NOW + timedelta(seconds=1))
    await say(ledger, "host:a", breaker_forced="closed")
    assert await read(ledger, reads.has_lanes, NOW + timedelta(seconds=1))
