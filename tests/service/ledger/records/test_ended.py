import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from itertools import cycle

import pytest
from sqlalchemy import Engine, event

from service.ledger.ledger import Ledger
from service.ledger.models import Finished
from service.ledger.records.decided import MOST_EDGES
from service.ledger.records.expired import record_expired
from service.ledger.states import Outcome, RunWhen, State
from tests.service.ledger.linking import child, edges, end, enqueue_all, follow_up, rows_of, states
from tests.service.ledger.makers import NOW, enqueue, finish, live_worker, new_job, start

LATER = NOW + timedelta(hours=1)


async def test_a_child_waits_until_all_its_parents_have_succeeded(ledger: Ledger) -> None:
    one, other = new_job(), new_job()
    last = child(one, other)
    await enqueue_all(ledger, one, other, last)
    assert await states(ledger, last) == ["blocked"]
    assert not (await end(ledger, one)).followed.released
    assert await states(ledger, last) == ["blocked"]
    [released] = (await end(ledger, other)).followed.released
    assert (released.id, released.kind, released.queue, released.run_at) == (last.id, "greet", "default", NOW)
    row = (await rows_of(ledger, [last]))[last.id]
    assert (row.state, row.blocked_by, row.dispatch_epoch) == ("queued", 0, "")


async def test_a_blocked_job_is_not_started(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    assert await start(ledger, last.id) is None


@pytest.mark.parametrize("ends", ["fails", "is cancelled", "expires"])
async def test_a_parent_that_ends_otherwise_cancels_its_children_and_they_theirs(ledger: Ledger, ends: str) -> None:
    one = new_job(expires_at=LATER)
    second = child(one)
    third = child(second)
    await enqueue_all(ledger, one, second, third)
    if ends == "fails":
        assert (await end(ledger, one, State.FAILED)).followed == ((), True)
    elif ends == "is cancelled":
        cancelled = await ledger.cancel(one.id, "test", NOW)
        assert cancelled is not None
        assert cancelled.followed == ((), True)
    else:
        [expired] = await ledger.database.run(partial(record_expired, writer="test", at=LATER, limit=10))
        assert expired.followed == ((), True)
    assert await states(ledger, second, third) == ["cancelled", "blocked"]
    assert await follow_up(ledger) == []
    rows = await rows_of(ledger, [second, third])
    assert {row.state for row in rows.values()} == {"cancelled"}
    how = "was cancelled" if ends == "is cancelled" else "failed"
    said = [(row.error_type, row.error_message) for row in (rows[second.id], rows[third.id])]
    assert said == [
        ("ParentFailed", f"Job {one.id} (greet) {how}, and this one needs it."),
        ("ParentFailed", f"Job {second.id} (greet) was cancelled, and this one needs it."),
    ]
    assert all(row.finished_at is not None for row in rows.values())


@pytest.mark.parametrize(
    ("run_when", "state", "becomes"),
    [
        ("succeeded", State.RETRYING, "blocked"),
        ("ended", State.RETRYING, "blocked"),
        ("ended", State.FAILED, "queued"),
        ("attempted", State.RETRYING, "queued"),
        ("attempted", State.FAILED, "queued"),
    ],
)
async def test_run_when_says_what_a_parent_must_have_come_to(
    ledger: Ledger, run_when: RunWhen, state: State, becomes: str
) -> None:
    one = new_job()
    last = child(one, run_when=run_when)
    await enqueue_all(ledger, one, last)
    released = (await end(ledger, one, state)).followed.released
    assert await states(ledger, last) == [becomes]
    assert len(released) == (becomes == "queued")


async def test_a_child_that_asked_for_a_later_time_waits_for_it_after_its_release(ledger: Ledger) -> None:
    one = new_job()
    last = child(one, run_at=LATER)
    await enqueue_all(ledger, one, last)
    [released] = (await end(ledger, one)).followed.released
    assert released.run_at == LATER
    row = (await rows_of(ledger, [last]))[last.id]
    assert (row.state, row.run_at) == ("scheduled", LATER)


async def test_a_released_child_comes_last_in_its_lanes(ledger: Ledger) -> None:
    one = new_job()
    first, second = child(one, lane="a"), new_job(lane="a")
    await enqueue_all(ledger, one, first, second)
    [released] = (await end(ledger, one)).followed.released
    assert released.lanes == ("a",)
    rows = await rows_of(ledger, [first, second])
    assert rows[second.id].lane_seq < rows[first.id].lane_seq


async def test_of_many_children_some_are_released_with_the_end_and_the_others_right_after_it(ledger: Ledger) -> None:
    one = new_job()
    many = [child(one) for _ in range(MOST_EDGES + 100)]
    await enqueue_all(ledger, one, *many)
    followed = (await end(ledger, one)).followed
    assert len(followed.released) == MOST_EDGES
    assert followed.left
    rest = await follow_up(ledger)
    assert {job.id for job in (*followed.released, *rest)} == {job.id for job in many}
    assert set(await states(ledger, *many)) == {"queued"}


async def test_of_many_parents_that_end_at_once_none_is_forgotten(ledger: Ledger) -> None:
    parents = [new_job() for _ in range(6)]
    many = {parent.id: [child(parent) for _ in range(MOST_EDGES // 2)] for parent in parents}
    children = [one for some in many.values() for one in some]
    await enqueue_all(ledger, *parents, *children)
    # The first is cancelled in a transaction of its own, the others together in another.
    await asyncio.gather(*(ledger.cancel(parent.id, "test", NOW) for parent in parents))
    await follow_up(ledger)
    assert set(await states(ledger, *children)) == {"cancelled"}
    assert set((await edges(ledger)).values()) == {"broken"}


async def test_children_whose_parents_end_in_many_processes_at_once_are_released_once(
    ledger: Ledger, database_url: str
) -> None:
    parents = [new_job() for _ in range(32)]
    children = [child(*parents) for _ in range(20)]
    await enqueue_all(ledger, *parents, *children)
    async with AsyncExitStack() as stack:
        opening = (Ledger.open(database_url, retention=ledger.retention) for _ in range(4))
        processes = [await stack.enter_async_context(one) for one in opening]
        # Ends of one worker's attempts wait for one another: they are counted in one row.
        workers = [await live_worker(ledger, f"w{number}") for number in range(len(processes))]
        started = [await start(ledger, parent.id, one) for parent, one in zip(parents, cycle(workers), strict=False)]
        ends = [finish(one, Outcome.SUCCEEDED, State.SUCCEEDED) for one in started if one is not None]
        ended = list[Finished | None]()
        for turn in range(0, len(ends), len(processes)):
            together = zip(processes, ends[turn:], strict=False)
            ended += await asyncio.gather(*(process.finish(one) for process, one in together))
    released = [one.id for finished in ended if finished is not None for one in finished.followed.released]
    assert sorted(released) == sorted(one.id for one in children)
    rows = await rows_of(ledger, children)
    assert {(row.state, row.blocked_by) for row in rows.values()} == {("queued", 0)}
    assert set((await edges(ledger)).values()) == {"met"}


async def test_a_blocked_job_can_be_cancelled_and_can_expire(ledger: Ledger) -> None:
    one = new_job()
    second, third = child(one), child(one, expires_at=LATER)
    await enqueue_all(ledger, one, second, third)
    assert (await ledger.cancel(second.id, "test", NOW)) is not None
    expired = await ledger.database.run(partial(record_expired, writer="test", at=LATER, limit=10))
    assert [job.id for job in expired] == [third.id]
    await end(ledger, one)
    assert await states(ledger, second, third) == ["cancelled", "failed"]


async def test_a_diamond_runs_its_last_job_once(ledger: Ledger) -> None:
    first = new_job()
    middle = [child(first) for _ in range(20)]
    last = child(*middle)
    await enqueue_all(ledger, first, *middle, last)
    assert len((await end(ledger, first)).followed.released) == 20
    released = [one for job in middle for one in (await end(ledger, job)).followed.released]
    assert [one.id for one in released] == [last.id]


async def test_a_repeated_finish_tells_nothing_twice(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue(ledger, one, last)
    assert await end(ledger, one)
    assert await states(ledger, last) == ["queued"]


async def test_an_attempt_that_its_worker_handed_back_is_none_that_children_wait_for(ledger: Ledger) -> None:
    one = new_job()
    last = child(one, run_when="attempted")
    await enqueue_all(ledger, one, last)
    await live_worker(ledger)
    started = await start(ledger, one.id)
    assert started is not None
    handed_back = await ledger.finish(finish(started, Outcome.INTERRUPTED, State.QUEUED))
    assert handed_back is not None
    assert not handed_back.followed.released
    late = child(one, run_when="attempted")
    await enqueue(ledger, late)
    assert await states(ledger, last, late) == ["blocked", "blocked"]
    released = (await end(ledger, one, State.RETRYING)).followed.released
    assert {job.id for job in released} == {last.id, late.id}


async def test_an_end_takes_no_more_statements_for_many_children_than_for_two(ledger: Ledger) -> None:
    async def statements(children: int) -> int:
        parent, seen = new_job(), []
        await enqueue_all(ledger, parent, *(child(parent) for _ in range(children)))

        def note(*_: object) -> None:
            seen.append(parent.id)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            finished = await end(ledger, parent)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert len(finished.followed.released) == children
        return len(seen)

    assert await statements(200) == await statements(2)


async def test_of_ends_in_one_group_each_sends_its_children_where_they_belong(ledger: Ledger) -> None:
    good, bad = new_job(), new_job()
    after_good, after_bad, given_up = child(good), child(bad), child(good)
    tidying = child(good, bad, run_when="ended")
    await enqueue_all(ledger, good, bad, after_good, after_bad, given_up, tidying)
    assert await ledger.cancel(given_up.id, "test", NOW)
    await live_worker(ledger)
    begun = [await start(ledger, one.id) for one in (good, bad)]
    ends = [
        finish(started, outcome, state)
        for started, outcome, state in zip(
            begun, (Outcome.SUCCEEDED, Outcome.FAILED), (State.SUCCEEDED, State.FAILED), strict=True
        )
        if started is not None
    ]
    followed = [one.followed for one in await ledger.finish_all(ends) if one is not None]
    assert {one.id for of_one in followed for one in of_one.released} == {after_good.id, tidying.id}
    assert await states(ledger, after_good, after_bad, given_up, tidying) == [
        "queued",
        "cancelled",
        "cancelled",
        "queued",
    ]


async def test_a_success_releases_nobody_who_was_cancelled_meanwhile(ledger: Ledger) -> None:
    parent = new_job()
    given_up, kept = child(parent), child(parent)
    await enqueue_all(ledger, parent, given_up, kept)
    assert await ledger.cancel(given_up.id, "test", NOW)
    assert [one.id for one in (await end(ledger, parent)).followed.released] == [kept.id]
    assert await states(ledger, given_up, kept) == ["cancelled", "queued"]
    assert set((await edges(ledger)).values()) == {"met"}
