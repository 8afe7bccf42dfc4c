import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from jobs import Lane
from service.lane_rules import lane_fields
from service.ledger.changes import Changed, ChangeResult
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob, Start, Started
from service.ledger.reads.listing import Filter, list_jobs
from service.ledger.records.changed import Change, Values, record_changed
from service.ledger.records.started import record_started
from service.ledger.states import Outcome, State
from service.own_retry import OwnRetry
from service.tables import jobs
from tests.service.ledger.makers import (
    NOW,
    attempt_rows,
    build_lanes,
    enqueue,
    finish,
    job_row,
    live_worker,
    new_job,
    start,
    start_in_lane,
)
from tests.support.writing import writing

LATER = NOW + timedelta(seconds=20)


async def change(ledger: Ledger, job_id: str, of_args: str | None = None, **values: Any) -> Changed:
    [changed] = await ledger.change([Change(job_id, NOW, values, of_args)])  # type: ignore[arg-type]
    return changed


async def made(ledger: Ledger, **fields: Any) -> NewJob:
    job = new_job(**fields)
    await enqueue(ledger, job)
    return job


async def block(ledger: Ledger, job_id: str) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=State.BLOCKED))


async def whole_row(ledger: Ledger, job_id: str) -> dict[str, Any]:
    async with ledger.read() as connection:
        return dict((await connection.execute(select(jobs).where(jobs.c.id == job_id))).mappings().one())


async def listed(ledger: Ledger, **wanted: Any) -> list[str]:
    async with ledger.read() as connection:
        return [row["id"] for row in await list_jobs(connection, Filter(**wanted), 100)]


async def seqs(ledger: Ledger, ids: Sequence[str]) -> list[int | None]:
    return [(await whole_row(ledger, job_id))["lane_seq"] for job_id in ids]


async def test_only_what_is_named_is_changed(ledger: Ledger) -> None:
    job = await made(ledger, tags=("a",), metadata='{"n":1}', timeout_s=3.0, priority=2, lane="x", args='{"a":1}')
    before = await whole_row(ledger, job.id)
    assert (await change(ledger, job.id, max_attempts=9)).result is ChangeResult.YES
    assert await whole_row(ledger, job.id) == before | {"max_attempts": 9}


async def test_every_field_is_changed_and_null_is_a_value(ledger: Ledger) -> None:
    values: Values = {
        "priority": -3,
        "queue": "slow",
        "args": '{"a":"masked"}',
        "sealed_args": '{"a":"clear"}',
        "max_attempts": 7,
        "timeout_s": 1.5,
        "tags": ("b", "c"),
        "metadata": '{"é":"\\\\u0000 \'; DROP TABLE jobs"}',
    }
    job = await made(ledger, tags=("a", "b"))
    await change(ledger, job.id, **values)
    row = await whole_row(ledger, job.id)
    assert {name: row[name] for name in values if name != "tags"} == {n: v for n, v in values.items() if n != "tags"}
    assert row["tags"] == '["b","c"]'
    assert [await listed(ledger, tag=tag) for tag in "abc"] == [[], [job.id], [job.id]]
    assert await listed(ledger, queues=("slow",)) == [job.id]
    assert await listed(ledger, queues=("default",)) == []
    await change(ledger, job.id, timeout_s=None, metadata=None, tags=(), sealed_args=None)
    row = await whole_row(ledger, job.id)
    assert (row["timeout_s"], row["metadata"], row["tags"], row["sealed_args"]) == (None, None, "[]", None)
    assert await listed(ledger, tag="b") == []


@pytest.mark.parametrize(
    ("state", "run_at", "becomes"),
    [
        (State.QUEUED, LATER, State.SCHEDULED),
        (State.SCHEDULED, LATER, State.SCHEDULED),
        (State.SCHEDULED, NOW, State.QUEUED),
        (State.SCHEDULED, NOW - timedelta(days=9), State.QUEUED),
        (State.BLOCKED, LATER, State.BLOCKED),
        (State.BLOCKED, NOW, State.BLOCKED),
    ],
)
async def test_a_new_time_decides_the_state(ledger: Ledger, state: State, run_at: Any, becomes: State) -> None:
    job = await made(ledger, state=state if state is State.QUEUED else State.SCHEDULED, run_at=NOW)
    if state is State.BLOCKED:
        await block(ledger, job.id)
    changed = await change(ledger, job.id, run_at=run_at)
    assert (changed.result, changed.state) == (ChangeResult.YES, becomes)
    row = await job_row(ledger, job.id)
    assert (row["state"], row["run_at"]) == (becomes, max(run_at, NOW))


async def test_a_job_that_waits_for_its_next_attempt_keeps_waiting_for_that_until_it_is_due(ledger: Ledger) -> None:
    job = await made(ledger)
    await live_worker(ledger)
    started = await start(ledger, job.id)
    assert started is not None
    await ledger.finish(finish(started, Outcome.FAILED, State.RETRYING, failures=1, run_at=LATER))
    assert (await change(ledger, job.id, run_at=LATER + timedelta(days=1))).state is State.RETRYING
    assert (await change(ledger, job.id, run_at=NOW)).state is State.QUEUED
    again = await start(ledger, job.id)
    assert again is not None
    assert (again.attempt, again.failures) == (2, 1)


async def test_jobs_that_run_or_have_ended_stay_as_they_are(ledger: Ledger) -> None:
    await live_worker(ledger)
    ended, runs = await made(ledger), await made(ledger)
    await ledger.cancel(ended.id, "test", NOW)
    await start(ledger, runs.id)
    for job_id, state in ((ended.id, State.CANCELLED), (runs.id, State.RUNNING)):
        before = await whole_row(ledger, job_id)
        assert await change(ledger, job_id, args='{"b":2}', tags=("t",)) == Changed(ChangeResult.STATE_FORBIDS, state)
        assert await whole_row(ledger, job_id) == before
    assert await change(ledger, "nobody", priority=1) == Changed(ChangeResult.NOT_FOUND)
    assert await listed(ledger, tag="t") == []


async def test_many_changes_are_one_write_each_with_its_own_end(ledger: Ledger) -> None:
    one, two, ended = await made(ledger), await made(ledger), await made(ledger)
    await ledger.cancel(ended.id, "test", NOW)
    changes = [
        Change(one.id, NOW, {"priority": 1}),
        Change(ended.id, NOW, {"priority": 1}),
        Change(one.id, NOW, {"queue": "q"}),
        Change("nobody", NOW, {"priority": 1}),
        Change(two.id, NOW, {"lane": Lane("l")}),
        Change(one.id, NOW, {"priority": 5}),
    ]
    results = [changed.result for changed in await ledger.change(changes)]
    yes = ChangeResult.YES
    assert results == [yes, ChangeResult.STATE_FORBIDS, yes, ChangeResult.NOT_FOUND, yes, yes]
    row = await job_row(ledger, one.id)
    assert (row["priority"], row["queue"]) == (5, "q")
    assert (await job_row(ledger, two.id))["lane"] == "l"


async def test_where_a_job_waits_is_told_before_and_after_and_only_if_it_has_moved(ledger: Ledger) -> None:
    job = await made(ledger)
    still = await change(ledger, job.id, args='{"x":1}', timeout_s=1.0, tags=("t",), priority=0, queue="default")
    assert (still.before, still.after) == (None, None)
    moved = await change(ledger, job.id, priority=3, lane=Lane("l", concurrency=2))
    assert moved.before is not None
    assert moved.after is not None
    assert moved.before._replace(priority=3, lanes=("l",), lane_limits=moved.after.lane_limits) == moved.after
    assert moved.after.member == job.id
    await block(ledger, job.id)
    off_the_queue = await change(ledger, job.id, priority=4, queue="q")
    assert (off_the_queue.before, off_the_queue.after) == (None, None)


async def test_a_moved_job_counts_as_not_dispatched(ledger: Ledger) -> None:
    job = await made(ledger)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).values(dispatch_epoch="e"))
    await change(ledger, job.id, tags=("t",))
    assert (await whole_row(ledger, job.id))["dispatch_epoch"] == "e"
    await change(ledger, job.id, priority=1)
    assert (await whole_row(ledger, job.id))["dispatch_epoch"] == ""


async def test_a_job_comes_last_in_a_new_lane_and_keeps_its_place_in_one_that_stays(ledger: Ledger) -> None:
    first, second, third = [await made(ledger, lane=lane) for lane in ("b", "a", "b")]
    ids = [first.id, second.id, third.id]
    before = await seqs(ledger, ids)
    await change(ledger, first.id, lane=Lane("b", concurrency=4))
    assert await seqs(ledger, ids) == before
    assert (await whole_row(ledger, first.id))["lane_limits"] == '{"b":{"concurrency":4,"from":"request"}}'
    await change(ledger, second.id, lane=Lane("b"))
    after = await seqs(ledger, ids)
    assert sorted(after, key=lambda seq: seq or 0) == [after[0], after[2], after[1]]
    assert await listed(ledger, lane="a") == []
    assert set(await listed(ledger, lane="b")) == set(ids)
    await change(ledger, second.id, lane=None)
    assert await seqs(ledger, [second.id]) == [None]
    assert set(await listed(ledger, lane="b")) == {first.id, third.id}


@pytest.mark.parametrize("lane", [None, Lane("tenant:1"), Lane("host:a", concurrency=3)])
async def test_the_lane_of_the_request_and_that_of_the_kind_are_changed_apart(
    ledger: Ledger, lane: Lane | None
) -> None:
    of_kind = Lane("host:a", concurrency=2)
    job = await made(ledger, **lane_fields(lane, of_kind))

    async def lanes() -> dict[str, Any]:
        row = await whole_row(ledger, job.id)
        return {name: row[name] for name in ("lane", "kind_lane", "lane_limits", "label")}

    other = Lane("host:b")
    await change(ledger, job.id, kind_lane=other)
    if lane is None or lane.key != "host:a":
        assert await lanes() == lane_fields(lane, other)
    await change(ledger, job.id, lane=Lane("tenant:2"), kind_lane=of_kind)
    assert await lanes() == lane_fields(Lane("tenant:2"), of_kind)
    await change(ledger, job.id, lane=None)
    assert await lanes() == lane_fields(None, of_kind)
    await change(ledger, job.id, kind_lane=None)
    assert await lanes() == lane_fields(None, None)
    assert await seqs(ledger, [job.id]) == [None]


async def test_what_was_derived_from_args_holds_only_while_these_are_the_args(ledger: Ledger) -> None:
    job = await made(ledger, args='{"a":"*"}', sealed_args='{"a":"1"}')
    assert (await change(ledger, job.id, '{"a":"2"}', kind_lane=Lane("h"))).result is ChangeResult.ARGS_CHANGED
    assert (await job_row(ledger, job.id))["kind_lane"] is None
    assert (await change(ledger, job.id, '{"a":"1"}', kind_lane=Lane("h"))).result is ChangeResult.YES


async def test_the_time_of_a_policy_of_its_own_goes_on_with_the_job_until_it_has_failed(ledger: Ledger) -> None:
    retry = OwnRetry(base=1.0, max_duration=60.0).to_json()
    job = await made(ledger)
    await change(ledger, job.id, retry=retry)
    assert (await whole_row(ledger, job.id))["retry"] == retry
    await change(ledger, job.id, run_at=LATER)
    assert (await whole_row(ledger, job.id))["retry_until"] == LATER + timedelta(seconds=60)


async def test_a_start_finds_a_job_where_it_is_and_not_where_it_was_claimed(ledger: Ledger) -> None:
    await build_lanes(ledger)
    await live_worker(ledger)
    job = await made(ledger, lane="a")

    async def begin(*lanes: str, queues: tuple[str, ...] = ()) -> bool:
        claim = Start((job.id,), "w1", ("greet",), NOW, lanes_epoch="epoch-1", lanes=((job.id, lanes),), queues=queues)
        return job.id in await ledger.start(claim)

    await change(ledger, job.id, lane=Lane("b"), kind_lane=Lane("h"))
    assert not await begin("a")
    assert not await begin("b")
    assert not await begin("a", "h")
    assert not await begin("b", "h", queues=("other",))
    assert await begin("b", "h", queues=("other", "default"))


async def test_a_laneless_job_that_was_moved_to_another_queue_is_not_started_by_those_who_do_not_work_it(
    ledger: Ledger,
) -> None:
    await live_worker(ledger)
    job = await made(ledger)
    await change(ledger, job.id, queue="gpu")
    assert not await ledger.start(Start((job.id,), "w1", ("greet",), NOW, queues=("default", "slow")))
    assert await ledger.start(Start((job.id,), "w1", ("greet",), NOW, queues=("default", "gpu")))


async def test_a_job_that_came_into_a_lane_is_not_started_past_it_and_one_that_left_all_is(ledger: Ledger) -> None:
    await build_lanes(ledger)
    await live_worker(ledger)
    job = await made(ledger)
    await change(ledger, job.id, lane=Lane("a"))
    assert await start(ledger, job.id) is None
    await change(ledger, job.id, lane=None)
    claim = Start((job.id,), "w1", ("greet",), NOW, lanes_epoch="epoch-1", lanes=((job.id, ("a",)),))
    assert not await ledger.start(claim)
    assert await start(ledger, job.id) is not None


async def test_a_strict_lane_lets_a_job_that_was_moved_into_it_run_last(ledger: Ledger) -> None:
    await build_lanes(ledger)
    await live_worker(ledger)
    moved, head = await made(ledger, lane="elsewhere"), await made(ledger, lane="s")
    await change(ledger, moved.id, lane=Lane("s", order="strict"))
    assert not await start_in_lane(ledger, moved.id, strict=("s",))
    assert (await start_in_lane(ledger, head.id, strict=("s",))).keys() == {head.id}


async def test_of_a_change_and_a_start_at_the_same_moment_one_wins_as_a_whole(ledger: Ledger) -> None:
    """Hundreds of races: an attempt is given all of the change or none of it, and the answer says which."""
    await live_worker(ledger)
    won = {"change": 0, "start": 0}
    for turn in range(150):
        some = [await made(ledger, args='{"v":"old"}', timeout_s=1.0, max_attempts=1) for _ in range(2)]
        for job in some:
            values: Values = {"args": '{"v":"new"}', "sealed_args": '{"v":"newest"}', "timeout_s": 2.0}
            wanted = Change(job.id, NOW, values | {"max_attempts": 2, "queue": "other", "tags": ("new",)})
            starting = Start((job.id,), "w1", ("greet",), NOW)
            doing: list[Any] = [_begin(ledger, starting), _run(ledger, wanted)]
            first, second = await asyncio.gather(*(doing if turn % 2 else reversed(doing)))
            started, changed = (first, second) if turn % 2 else (second, first)
            one = started[job.id]
            seen = (one.args, one.timeout_s, one.max_attempts, one.queue)
            if changed.result is ChangeResult.YES:
                won["change"] += 1
                assert seen == ('{"v":"newest"}', 2.0, 2, "other")
            else:
                won["start"] += 1
                assert changed == Changed(ChangeResult.STATE_FORBIDS, State.RUNNING)
                assert seen == ('{"v":"old"}', 1.0, 1, "default")
            assert (await whole_row(ledger, job.id))["tags"] == ('["new"]' if changed.result == "changed" else "[]")
            assert len(await attempt_rows(ledger, job.id)) == 1
    assert min(won.values()) > 0, won


async def _begin(ledger: Ledger, starting: Start) -> dict[str, Started]:
    return await ledger.database.run(lambda connection: record_started(connection, [starting])[0])


async def _run(ledger: Ledger, wanted: Change) -> Changed:
    """Change a job in a transaction of its own, concurrently with the group's."""
    [changed] = await ledger.database.run(lambda connection: record_changed(connection, [wanted]))
    return changed


async def test_changes_of_the_same_jobs_in_other_orders_wait_for_each_other(ledger: Ledger) -> None:
    ids = [(await made(ledger)).id for _ in range(20)]
    for turn in range(10):
        there = [Change(job_id, NOW, {"priority": turn}) for job_id in ids]
        back = [Change(job_id, NOW, {"max_attempts": turn + 1}) for job_id in reversed(ids)]
        run = ledger.database.run
        results = await asyncio.gather(
            run(lambda connection, there=there: record_changed(connection, there)),  # type: ignore[misc]
            run(lambda connection, back=back: record_changed(connection, back)),  # type: ignore[misc]
        )
        assert all(changed.result is ChangeResult.YES for some in results for changed in some)
    assert {(row["priority"], row["max_attempts"]) for row in [await job_row(ledger, one) for one in ids]} == {(9, 10)}
