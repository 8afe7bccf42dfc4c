import asyncio
from functools import partial
from itertools import pairwise

import pytest
from sqlalchemy import select

from service.errors import ParentFailed
from service.flow_tables import followups
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue
from service.ledger.reads.edges import broken_parent, has_followups
from service.ledger.records import decided
from service.ledger.records.ended import leave
from service.ledger.records.enqueued import record_enqueued
from service.ledger.records.followups import record_followups
from service.ledger.records.replayed import Replayed
from service.ledger.states import State
from service.tables import jobs
from tests.service.ledger.linking import child, edges, end, enqueue_all, follow_up, rows_of, states, until_blocked
from tests.service.ledger.makers import NOW, enqueue, new_job
from tests.support.writing import writing


async def test_replaying_a_parent_takes_back_all_that_fell_with_it(ledger: Ledger) -> None:
    one = new_job()
    second = child(one)
    third = child(second)
    await enqueue_all(ledger, one, second, third)
    await end(ledger, one, State.FAILED)
    await follow_up(ledger)
    assert await ledger.replay(one.id, NOW)
    assert await follow_up(ledger) == []
    assert await states(ledger, one, second, third) == ["queued", "blocked", "blocked"]
    row = (await rows_of(ledger, [second]))[second.id]
    assert (row.error_type, row.error_message, row.finished_at, row.blocked_by) == (None, None, None, 1)
    assert set((await edges(ledger)).values()) == {"open"}
    for job in (one, second, third):
        await end(ledger, job)
    assert await states(ledger, one, second, third) == ["succeeded"] * 3


async def test_a_parent_that_ends_again_before_it_was_followed_up_takes_back_what_fell_with_its_end(
    ledger: Ledger,
) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    await end(ledger, one, State.FAILED)
    await ledger.replay(one.id, NOW)
    assert [job.id for job in (await end(ledger, one)).followed.released] == [last.id]
    assert await states(ledger, last) == ["queued"]
    assert await follow_up(ledger) == []
    assert await states(ledger, last) == ["queued"]


async def test_a_job_with_another_broken_edge_stays_cancelled(ledger: Ledger) -> None:
    one, other = new_job(), new_job()
    last = child(one, other)
    await enqueue_all(ledger, one, other, last)
    for parent in (one, other):
        await end(ledger, parent, State.FAILED)
    await ledger.replay(one.id, NOW)
    await follow_up(ledger)
    assert await states(ledger, last) == ["cancelled"]
    await ledger.replay(other.id, NOW)
    await follow_up(ledger)
    assert await states(ledger, last) == ["blocked"]
    assert (await rows_of(ledger, [last]))[last.id].blocked_by == 2


async def test_a_job_that_a_user_cancelled_is_not_taken_back(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    await ledger.cancel(last.id, "test", NOW)
    await end(ledger, one, State.FAILED)
    await ledger.replay(one.id, NOW)
    await follow_up(ledger)
    await end(ledger, one)
    assert await states(ledger, last) == ["cancelled"]


async def test_a_job_whose_key_was_taken_meanwhile_is_not_taken_back_until_it_is_free(ledger: Ledger) -> None:
    one = new_job()
    last, twin = child(one, unique_key="k"), child(one, unique_key="k2")
    await enqueue_all(ledger, one, last, twin)
    await end(ledger, one, State.FAILED)
    taker = new_job(unique_key="k")
    await enqueue_all(ledger, taker)
    await ledger.replay(one.id, NOW)
    await follow_up(ledger)
    assert await states(ledger, last, twin) == ["cancelled", "blocked"]
    await end(ledger, taker)
    followed = (await end(ledger, one)).followed
    assert ([job.id for job in followed.released], followed.left) == ([twin.id], True)
    assert [job.id for job in await follow_up(ledger)] == [last.id]


async def test_an_end_goes_on_although_a_new_job_takes_the_key_of_what_comes_back(ledger: Ledger) -> None:
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    one = new_job()
    last, taker = child(one, unique_key="k"), new_job(unique_key="k")
    await enqueue_all(ledger, one, last)
    await end(ledger, one, State.FAILED)
    await enqueue_all(ledger, taker)
    await ledger.replay(one.id, NOW)
    await follow_up(ledger)
    await end(ledger, taker)
    async with writing(ledger.database) as connection:
        newer = Enqueue((new_job(unique_key="k"),), "test")
        await connection.run_sync(record_enqueued, [newer])
        ends = asyncio.create_task(end(ledger, one))
        await until_blocked(ledger, ends)
    assert (await ends).state is State.SUCCEEDED
    await follow_up(ledger)
    assert await states(ledger, one, last) == ["succeeded", "cancelled"]


async def test_of_two_jobs_with_one_key_one_is_taken_back(ledger: Ledger) -> None:
    one = new_job()
    first = child(one, unique_key="k")
    await enqueue_all(ledger, one, first)
    await end(ledger, one, State.FAILED)
    second = child(one, unique_key="k")
    await enqueue_all(ledger, second)
    await ledger.replay(one.id, NOW)
    await follow_up(ledger)
    assert sorted(await states(ledger, first, second)) == ["blocked", "cancelled"]


async def test_a_job_that_fell_with_its_parent_is_not_replayed_by_itself(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    await end(ledger, one, State.FAILED)
    assert await ledger.try_replay(last.id, NOW) is Replayed.PARENT_FAILED
    with pytest.raises(ParentFailed, match=f"Job {one.id} .greet. failed, and this one needs it: replay that one"):
        await ledger.replay(last.id, NOW)
    async with ledger.read() as connection:
        assert await broken_parent(connection, last.id) == (one.id, "greet", "failed")
        assert await broken_parent(connection, one.id) is None


async def test_a_job_that_was_cancelled_while_it_waited_waits_again_when_it_is_replayed(ledger: Ledger) -> None:
    one = new_job()
    last = child(one)
    await enqueue_all(ledger, one, last)
    await ledger.cancel(last.id, "test", NOW)
    assert await ledger.replay(last.id, NOW)
    assert await states(ledger, last) == ["blocked"]
    await ledger.cancel(last.id, "test", NOW)
    await end(ledger, one)
    assert await ledger.replay(last.id, NOW)
    assert await states(ledger, last) == ["queued"]


async def test_what_ran_after_a_failed_parent_runs_once_though_that_is_replayed(ledger: Ledger) -> None:
    one = new_job()
    last = child(one, run_when="ended")
    await enqueue_all(ledger, one, last)
    await end(ledger, one, State.FAILED)
    await end(ledger, last)
    await ledger.replay(one.id, NOW)
    assert await follow_up(ledger) == []
    await end(ledger, one)
    assert await states(ledger, last) == ["succeeded"]


async def test_a_followup_stays_until_it_is_done(ledger: Ledger) -> None:
    one = new_job()
    second = child(one)
    await enqueue(ledger, one, second, child(second))
    await end(ledger, one, State.FAILED)
    async with ledger.read() as connection:
        assert (await connection.execute(select(followups.c.job_id))).scalars().all() == [second.id]
        assert await has_followups(connection)
    await follow_up(ledger)
    async with ledger.read() as connection:
        assert not await has_followups(connection)


async def test_a_parent_that_was_not_attempted_yet_is_followed_up_however_many_wait_for_that(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decided, "MOST_EDGES", 3)
    one = new_job()
    await enqueue_all(ledger, one, *(child(one, run_when="attempted") for _ in range(5)))
    await ledger.database.run(lambda connection: leave(connection, [one.id], NOW))
    async with asyncio.timeout(10):
        assert await follow_up(ledger) == []


async def test_a_chain_falls_many_levels_in_a_transaction(ledger: Ledger) -> None:
    chain = [new_job()]
    for _ in range(3 * decided.MOST_LEVELS):
        chain.append(child(chain[-1]))
    await enqueue_all(ledger, *chain)
    await end(ledger, chain[0], State.FAILED)
    rounds = 0
    while (await ledger.database.run(partial(record_followups, at=NOW, writer="test"))).left:
        rounds += 1
    assert rounds == 2
    assert await states(ledger, *chain) == ["failed", *["cancelled"] * (len(chain) - 1)]
    rows = await rows_of(ledger, chain)
    for parent, job in pairwise(chain):
        assert parent.id in str(rows[job.id].error_message)
    await ledger.replay(chain[0].id, NOW)
    await follow_up(ledger)
    assert await states(ledger, *chain) == ["queued", *["blocked"] * (len(chain) - 1)]


async def test_a_wide_level_leaves_the_next_one_to_another_transaction(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decided, "MOST_EDGES", 3)
    root = new_job()
    second = child(root)
    third = [child(second) for _ in range(3)]
    fourth = [child(*third), child(third[0])]
    await enqueue_all(ledger, root, second, *third, *fourth)
    await end(ledger, root, State.FAILED)
    await ledger.database.run(partial(record_followups, at=NOW, writer="test"))
    assert await states(ledger, *third, *fourth) == [*["cancelled"] * 3, *["blocked"] * 2]
    await follow_up(ledger)
    assert await states(ledger, *fourth) == ["cancelled"] * 2
    assert set((await edges(ledger)).values()) == {"broken"}


async def test_a_chain_that_falls_lets_go_what_runs_however_it_ends(ledger: Ledger) -> None:
    root = new_job()
    second = child(root)
    other = new_job()
    third = child(second, other)
    cleanup = child(third, run_when="ended")
    after = child(cleanup)
    await enqueue_all(ledger, root, other, second, third, cleanup, after)
    await end(ledger, root, State.FAILED)
    assert [job.id for job in await follow_up(ledger)] == [cleanup.id]
    assert await states(ledger, third, cleanup, after) == ["cancelled", "queued", "blocked"]


async def test_a_fall_does_not_wait_for_what_another_transaction_holds_deeper_down(ledger: Ledger) -> None:
    """Two falls whose levels cross would wait for each other."""
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    root = new_job()
    second, third = child(root), child(root)
    fourth, fifth = child(second), child(third)
    sixth = child(fifth)
    await enqueue_all(ledger, root, second, third, fourth, fifth, sixth)
    await end(ledger, root, State.FAILED)
    async with writing(ledger.database) as holder:
        await holder.execute(select(jobs.c.id).where(jobs.c.id == sixth.id).with_for_update())
        followed = await ledger.database.run(partial(record_followups, at=NOW, writer="test"))
        assert followed.left
        assert await states(ledger, fourth, fifth, sixth) == ["cancelled", "cancelled", "blocked"]
    await follow_up(ledger)
    assert await states(ledger, sixth) == ["cancelled"]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_what_another_transaction_holds_is_waited_for_only_where_nothing_else_is_left(ledger: Ledger) -> None:
    """In a dense flow, parents of one transaction are children of another."""
    root = new_job()
    second, third = child(root), child(root)
    fourth, fifth = child(second), child(third)
    await enqueue_all(ledger, root, second, third, fourth, fifth)
    await end(ledger, root, State.FAILED)
    record = partial(record_followups, at=NOW, writer="test")
    async with writing(ledger.database) as holder:
        await holder.execute(select(jobs.c.id).where(jobs.c.id == fifth.id).with_for_update())
        assert (await ledger.database.run(record)).left
        assert await states(ledger, fourth, fifth) == ["cancelled", "blocked"]
        waiting = asyncio.create_task(ledger.database.run(record))
        await until_blocked(ledger, waiting)
        assert not waiting.done()
    assert not (await waiting).left
    assert await states(ledger, fifth) == ["cancelled"]
