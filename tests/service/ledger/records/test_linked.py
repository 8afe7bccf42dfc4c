import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.util import await_only

from service.flow_tables import callbacks, flows, job_edges
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, IdempotencyKey, NewFlow, NewJob
from service.ledger.records import decided, enqueued, followups
from service.ledger.records.decided import decide
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.followups import record_followups
from service.ledger.records.linked import record_links
from service.ledger.states import Outcome, RunWhen, State
from service.ledger.traits import Trait
from service.tables import job_listing, jobs
from tests.service.ledger.linking import (
    callback,
    called,
    child,
    edges,
    end,
    enqueue_all,
    enqueue_flow,
    follow_up,
    rows_of,
    states,
    until_blocked,
)
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, new_job, running
from tests.support.writing import writing

LATER = NOW + timedelta(hours=1)


async def traits(ledger: Ledger, *of: NewJob) -> list[int]:
    rows = await rows_of(ledger, of)
    return [rows[job.id].traits for job in of]


async def test_a_plain_job_has_no_traits_and_waits_for_nothing(ledger: Ledger) -> None:
    job = new_job()
    await enqueue_all(ledger, job)
    row = await job_row(ledger, job.id)
    assert (row["traits"], row["blocked_by"], row["flow"]) == (0, None, None)


async def test_parents_of_the_past_and_of_the_same_request_block_a_job(ledger: Ledger) -> None:
    before = new_job()
    await enqueue_all(ledger, before)
    beside = new_job()
    last = child(before, beside, before)
    enqueued = await enqueue(ledger, beside, last)
    assert [job.state for job in enqueued.jobs] == [State.QUEUED, State.BLOCKED]
    assert await traits(ledger, before, beside, last) == [Trait.CHILDREN, Trait.CHILDREN, Trait.PARENTS]
    assert (await job_row(ledger, last.id))["blocked_by"] == 2
    async with ledger.read() as connection:
        found = await connection.execute(select(job_edges).order_by(job_edges.c.position))
        assert [(row.parent, row.run_when, row.state) for row in found] == [
            (before.id, "succeeded", "open"),
            (beside.id, "succeeded", "open"),
        ]


@pytest.mark.parametrize("key", [None, "k"])
async def test_nothing_is_recorded_of_a_request_that_names_unknown_parents(ledger: Ledger, key: str | None) -> None:
    known = new_job()
    await enqueue_all(ledger, known)
    idempotency = IdempotencyKey(key, "f", "{}", NOW, LATER) if key else None
    one, other = new_job(), child(known, "nobody", "noone")
    enqueued = await enqueue(ledger, one, other, key=idempotency)
    assert (enqueued.unknown, enqueued.created) == (("nobody", "noone"), frozenset())
    assert await job_row(ledger, one.id) is None
    assert await edges(ledger) == {}
    again = await enqueue(ledger, new_job(), key=idempotency)
    assert again.created, "the key is free"


async def test_a_repetition_is_answered_though_the_parent_has_been_purged_since(ledger: Ledger) -> None:
    parent = new_job()
    await enqueue_all(ledger, parent)
    last, key = child(parent, run_when="ended"), IdempotencyKey("k", "f", "{}", NOW, NOW + timedelta(days=3650))
    await enqueue(ledger, last, key=key)
    await end(ledger, parent)
    await ledger.purge(timedelta(0), dry_run=False)
    assert await job_row(ledger, parent.id) is None
    assert (await enqueue(ledger, last)).ids == (last.id,)
    held = (await enqueue(ledger, child(parent), key=key)).held
    assert held is not None
    assert held.job_id == last.id


@pytest.mark.parametrize(
    ("parent", "run_when", "becomes"),
    [
        (State.SUCCEEDED, "succeeded", "queued"),
        (State.FAILED, "succeeded", "cancelled"),
        (State.FAILED, "ended", "queued"),
        (State.RETRYING, "attempted", "queued"),
        (State.RETRYING, "ended", "blocked"),
    ],
)
async def test_a_parent_that_has_ended_already_decides_at_once(
    ledger: Ledger, parent: State, run_when: RunWhen, becomes: str
) -> None:
    one = new_job()
    await enqueue_all(ledger, one)
    await end(ledger, one, parent)
    last = child(one, run_when=run_when)
    [told] = (await enqueue(ledger, last)).jobs
    row = await job_row(ledger, last.id)
    assert row["state"] == told.state == becomes
    assert (row["finished_at"] is not None) == (becomes == "cancelled")
    assert (row["error_type"] == "ParentFailed") == (becomes == "cancelled")


async def test_a_job_cancelled_at_once_cancels_what_comes_after_it_and_calls_back(ledger: Ledger) -> None:
    one = new_job()
    await enqueue_all(ledger, one)
    await end(ledger, one, State.FAILED)
    second = child(one, callbacks=(callback("failure"),))
    third, fourth = child(second), child(second, run_when="ended")
    enqueued = await enqueue(ledger, second, third, fourth)
    assert await states(ledger, second, third, fourth) == ["cancelled", "cancelled", "queued"]
    [(event, job)] = await called(ledger, second.id)
    assert event == "failure"
    assert [one.id for one in enqueued.followed.released] == [job.id]


async def test_the_holder_of_a_unique_key_stands_for_a_parent(ledger: Ledger) -> None:
    holder = new_job(unique_key="k")
    await enqueue_all(ledger, holder)
    second = new_job(unique_key="k")
    third = child(second, holder)
    enqueued = await enqueue(ledger, second, third)
    assert enqueued.ids == (holder.id, third.id)
    assert await edges(ledger) == {(holder.id, third.id): "open"}
    assert (await job_row(ledger, third.id))["blocked_by"] == 1
    assert await follow_up(ledger) == []
    released = (await end(ledger, holder)).followed.released
    assert [job.id for job in released] == [third.id]


async def test_a_holder_that_has_been_attempted_releases_at_once_what_waits_for_that(ledger: Ledger) -> None:
    holder = new_job(unique_key="k")
    await enqueue_all(ledger, holder)
    await end(ledger, holder, State.RETRYING)
    second = new_job(unique_key="k")
    third = child(second, run_when="attempted")
    assert (await enqueue(ledger, second, third)).followed.left
    assert [job.id for job in await follow_up(ledger)] == [third.id]


async def test_edges_to_a_job_that_a_holder_stands_for_are_dropped(ledger: Ledger) -> None:
    holder, one = new_job(unique_key="k"), new_job()
    await enqueue_all(ledger, holder, one)
    assert (await enqueue(ledger, child(one, unique_key="k"))).ids == (holder.id,)
    assert await edges(ledger) == {}


async def test_an_enqueue_sent_again_makes_no_edge_twice(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    await end(ledger, one)
    assert (await enqueue(ledger, one, last)).ids == (one.id, last.id)
    assert await edges(ledger) == {(one.id, last.id): "met"}


async def test_sent_again_a_job_whose_key_is_free_by_now_finds_what_became_of_its_parent(ledger: Ledger) -> None:
    holder, one = new_job(unique_key="k"), new_job()
    second = child(one, unique_key="k")
    await enqueue_all(ledger, holder)
    assert (await enqueue(ledger, one, second)).ids == (one.id, holder.id)
    await end(ledger, one)
    await end(ledger, holder)
    third = child(second)
    assert (await enqueue(ledger, one, second, third)).ids == (one.id, second.id, third.id)
    assert await states(ledger, second, third) == ["queued", "blocked"]
    assert await edges(ledger) == {(one.id, second.id): "met", (second.id, third.id): "open"}


async def test_of_two_jobs_with_one_id_that_come_at_once_the_first_waits_for_its_own_parent(ledger: Ledger) -> None:
    one, other = new_job(), new_job()
    await enqueue_all(ledger, one, other)
    first, second = child(one, id="own", request_hash="a"), child(other, id="own", request_hash="b")
    requests = [Enqueue(jobs=(job,), writer="test") for job in (first, second)]
    enqueued = await ledger.database.run(partial(record_enqueued, requests=requests))
    assert [result.refusal is None for result in enqueued] == [True, False]
    assert await edges(ledger) == {(one.id, "own"): "open"}


async def test_a_flow_is_recorded_with_its_jobs_and_their_names(ledger: Ledger) -> None:
    flow = NewFlow("f", NOW, "nightly", (callback(), callback("success")))
    one = new_job(flow="f", flow_name="one")
    two = child(one, flow="f", flow_name="two")
    assert (await enqueue_flow(ledger, flow, one, two)).created == {one.id, two.id}
    async with ledger.read() as connection:
        [row] = (await connection.execute(select(flows))).all()
        listed = await connection.execute(select(job_listing.c.flow_name, job_listing.c.flow))
        kept = await connection.execute(select(callbacks.c.event).where(callbacks.c.owner == "f"))
        assert sorted(map(tuple, listed)) == [("one", "f"), ("two", "f")]
        assert set(kept.scalars()) == {"end", "success"}
    assert (row.name, row.live, row.traits) == ("nightly", 2, Trait.CALLBACKS)
    assert all(one & Trait.FLOW_CALLBACKS for one in await traits(ledger, one, two))


async def test_a_job_joins_a_flow_that_there_is(ledger: Ledger) -> None:
    await enqueue_flow(ledger, NewFlow("f", NOW), new_job(flow="f"))
    joined = new_job(flow="f")
    await enqueue_all(ledger, joined)
    assert (await job_row(ledger, joined.id))["flow"] == "f"
    assert (await enqueue(ledger, new_job(flow="none"))).unknown == ("none",)


async def test_ten_thousand_jobs_and_a_hundred_thousand_edges_are_recorded_together(ledger: Ledger) -> None:
    parents = [new_job(flow="f") for _ in range(100)]
    children = [child(*parents[n % 90 : n % 90 + 10], flow="f") for n in range(9_900)]
    enqueued = await enqueue_flow(ledger, NewFlow("f", NOW), *parents, *children)
    assert len(enqueued.created) == 10_000
    async with ledger.read() as connection:
        blocked = await connection.execute(select(jobs.c.blocked_by).where(jobs.c.state == "blocked"))
        assert set(blocked.scalars()) == {10}


@pytest.fixture
async def other(ledger: Ledger, database_url: str) -> AsyncIterator[Ledger]:
    """Another process over the same database, in which deadlocks are found at once."""
    if ledger.database.dialect == "postgresql":
        async with writing(ledger.database) as connection:
            name = (await connection.exec_driver_sql("SELECT current_database()")).scalar_one()
            await connection.exec_driver_sql(f"ALTER DATABASE {name} SET deadlock_timeout = '5ms'")
    async with Ledger.open(database_url, retention=timedelta(days=30)) as opened:
        yield opened


async def test_a_child_that_comes_while_its_parent_ends_runs(ledger: Ledger, other: Ledger) -> None:
    for _ in range(40):
        parent = await running(ledger)
        last = child(parent.id)
        done = finish(parent, Outcome.SUCCEEDED, State.SUCCEEDED)
        await asyncio.gather(ledger.finish(done), enqueue(other, last))
        assert await states(ledger, last) == ["queued"]


async def test_a_child_of_many_parents_that_end_at_the_same_moment_runs_once(ledger: Ledger, other: Ledger) -> None:
    for _ in range(20):
        parents = [await running(ledger) for _ in range(4)]
        last = child(*(parent.id for parent in parents))
        await enqueue_all(ledger, last)
        done = [finish(parent, Outcome.SUCCEEDED, State.SUCCEEDED) for parent in parents]
        told = await asyncio.gather(*(by.finish_all(some) for by, some in ((ledger, done[:2]), (other, done[2:]))))
        released = [job.id for some in told for one in some if one is not None for job in one.followed.released]
        assert released == [last.id]
        assert (await job_row(ledger, last.id))["blocked_by"] == 0


async def test_a_holder_that_is_followed_up_at_this_moment_is_followed_up_again(
    ledger: Ledger, other: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends once it was found to hold the key; who follows it up has read its edges before the new one is there."""
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    monkeypatch.setattr(decided, "MOST_EDGES", 1)
    holder = new_job(unique_key="k")
    second, last = new_job(unique_key="k"), child(holder)
    third = child(second)
    await enqueue_all(ledger, holder, last, child(holder))
    tasks: list[asyncio.Task[object]] = []
    has_read = asyncio.Event()

    def decide_slowly(*args: Any, **options: Any) -> Any:
        found = decide(*args, **options)
        has_read.set()
        await_only(until_blocked(ledger, tasks[0]))
        return found

    def record_links_late(*args: Any) -> Any:
        await_only(holder_ends())
        return record_links(*args)

    async def holder_ends() -> None:
        assert (await end(other, holder)).followed.left
        record = partial(record_followups, at=NOW, writer="test")
        tasks.append(asyncio.create_task(other.database.run(record)))
        await has_read.wait()

    monkeypatch.setattr(followups, "decide", decide_slowly)
    monkeypatch.setattr(enqueued, "record_links", record_links_late)
    tasks.append(asyncio.create_task(enqueue(ledger, second, third)))
    await tasks[0]
    await asyncio.gather(*tasks)
    monkeypatch.undo()
    await follow_up(ledger)
    assert await states(ledger, third) == ["queued"]


async def test_a_deadlock_between_an_end_and_an_enqueue_is_repeated(ledger: Ledger, other: Ledger) -> None:
    """Its end holds the parent and wants the child; the enqueue holds the child, whose id is lower, and wants both."""
    for number in range(40):
        parent = await running(ledger, id=f"b-{number}")
        blocked = child(parent.id, id=f"a-{number}")
        await enqueue_all(ledger, blocked)
        last = child(blocked, parent.id)
        done = finish(parent, Outcome.SUCCEEDED, State.SUCCEEDED)
        await asyncio.gather(ledger.finish(done), enqueue(other, last))
        assert await states(ledger, blocked, last) == ["queued", "blocked"]
        await end(ledger, blocked)
        assert await states(ledger, last) == ["queued"]
