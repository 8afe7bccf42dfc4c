"""What a finish releases begins with it, if its worker wishes so."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select

from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Finished, HandOver, NewJob, Start, Started
from service.ledger.states import Outcome, State
from service.tables import tallies
from tests.service.ledger.linking import callback, child, enqueue_all, states
from tests.service.ledger.makers import NOW, enqueue, finish, live_worker, new_job, start

LATER = NOW + timedelta(seconds=1)
ENDED = Outcome.SUCCEEDED, State.SUCCEEDED


def wish(most: int = 10, *, children: int = 0) -> HandOver:
    unclaimed = Start((), "w1", ("greet", "shrink"), LATER, queues=("default",), handed_over=True)
    return HandOver(unclaimed, most, frozenset({"shrink"}), children)


async def begun(ledger: Ledger, *new: NewJob) -> list[Started]:
    """Start jobs."""
    await live_worker(ledger)
    return [one for job in new if (one := await start(ledger, job.id)) is not None]


async def end_all(ledger: Ledger, ending: Sequence[Started], hand_over: HandOver) -> list[Finished]:
    """Succeed together, the first with the wish."""
    first, *others = [finish(one, *ENDED) for one in ending]
    finished = await ledger.finish_all([first._replace(hand_over=hand_over), *others])
    return [one for one in finished if one is not None]


async def end(ledger: Ledger, ending: Started, hand_over: HandOver) -> Finished:
    [finished] = await end_all(ledger, [ending], hand_over)
    return finished


def ids(started: Sequence[Started]) -> set[str]:
    return {one.id for one in started}


async def test_children_begin_with_the_end_of_their_parents_whose_results_come_along(ledger: Ledger) -> None:
    parents = new_job(), new_job()
    after = child(*parents)
    await enqueue_all(ledger, *parents, after)
    one, other = await begun(ledger, *parents)
    assert (await end(ledger, one, wish())).handed_over == ()
    finished = await end(ledger, other, wish())
    [started] = finished.handed_over
    assert (started.id, started.attempt, started.worker, started.started_at) == (after.id, 1, "w1", LATER)
    assert {parent.id for parent in started.parents or ()} == {parent.id for parent in parents}
    assert finished.followed.released == ()
    assert await states(ledger, after) == ["running"]
    ended = await ledger.finish(finish(started, *ENDED))
    assert ended is not None
    assert await states(ledger, after) == ["succeeded"]


async def test_of_more_than_wished_the_first_by_priority_begin_and_the_others_are_released_as_ever(
    ledger: Ledger,
) -> None:
    parent = new_job()
    fan = [child(parent, priority=priority) for priority in (0, 2, 1)]
    await enqueue_all(ledger, parent, *fan)
    [started] = await begun(ledger, parent)
    finished = await end(ledger, started, wish(2))
    assert ids(finished.handed_over) == {one.id for one in fan[1:]}
    assert [one.id for one in finished.followed.released] == [fan[0].id]
    assert await states(ledger, *fan) == ["queued", "running", "running"]


async def test_what_cannot_begin_here_takes_no_slot_from_what_can(ledger: Ledger) -> None:
    parent = new_job()
    elsewhere, unknown = child(parent, queue="elsewhere", priority=9), child(parent, kind="unknown", priority=9)
    here = [child(parent) for _ in range(2)]
    await enqueue_all(ledger, parent, elsewhere, unknown, *here)
    [started] = await begun(ledger, parent)
    assert ids((await end(ledger, started, wish(2))).handed_over) == {one.id for one in here}


async def test_only_what_could_be_claimed_by_anybody_right_now_begins(ledger: Ledger) -> None:
    parent = new_job()
    here, in_lane = child(parent), child(parent, lane="tenant:1")
    elsewhere, unknown = child(parent, queue="elsewhere"), child(parent, kind="unknown")
    late = child(parent, run_at=LATER + timedelta(seconds=1))
    others = in_lane, elsewhere, unknown, late
    await enqueue_all(ledger, parent, here, *others)
    [started] = await begun(ledger, parent)
    finished = await end(ledger, started, wish())
    assert ids(finished.handed_over) == {here.id}
    assert {one.id for one in finished.followed.released} == {one.id for one in others}
    assert await states(ledger, here, *others) == ["running", "queued", "queued", "queued", "scheduled"]


@pytest.mark.parametrize("children", [0, 1, 2])
async def test_of_kinds_in_processes_as_many_begin_as_there_are_children(ledger: Ledger, children: int) -> None:
    parent = new_job()
    here, in_processes = child(parent), [child(parent, kind="shrink") for _ in range(2)]
    await enqueue_all(ledger, parent, here, *in_processes)
    [started] = await begun(ledger, parent)
    finished = await end(ledger, started, wish(children=children))
    begun_in_processes = ids(finished.handed_over) - {here.id}
    assert here.id in ids(finished.handed_over)
    assert begun_in_processes <= {one.id for one in in_processes}
    assert len(begun_in_processes) == children


async def test_callback_begins_with_the_end_that_calls_it(ledger: Ledger) -> None:
    owner = new_job(callbacks=(callback(),))
    await enqueue_all(ledger, owner)
    [started] = await begun(ledger, owner)
    [called] = (await end(ledger, started, wish())).handed_over
    assert (called.kind, called.attempt) == ("greet", 1)


async def test_another_finish_of_the_group_may_have_released_it(ledger: Ledger) -> None:
    plain, parent = new_job(), new_job()
    after = child(parent)
    await enqueue_all(ledger, plain, parent, after)
    first, second = await end_all(ledger, await begun(ledger, plain, parent), wish())
    assert (ids(first.handed_over), second.handed_over) == ({after.id}, ())
    assert (first.followed.released, second.followed.released) == ((), ())


async def test_nothing_begins_for_a_worker_whose_own_finish_is_refused(ledger: Ledger) -> None:
    lost, parent = new_job(), new_job()
    after = child(parent)
    await enqueue_all(ledger, lost, parent, after)
    stale, started = await begun(ledger, lost, parent)
    refused: Finish = finish(stale, *ENDED)._replace(attempt=7, hand_over=wish())
    nothing, finished = await ledger.finish_all([refused, finish(started, *ENDED)])
    assert nothing is None
    assert finished is not None
    assert [one.id for one in finished.followed.released] == [after.id]
    assert await states(ledger, after) == ["queued"]


async def test_what_begins_with_a_finish_is_counted_as_started(ledger: Ledger) -> None:
    parent = new_job()
    after = child(parent)
    await enqueue(ledger, parent, after)
    [started] = await begun(ledger, parent)
    await end(ledger, started, wish())
    async with ledger.read() as connection:
        counts = (await connection.execute(select(tallies.c["count"]).where(tallies.c.event == "started"))).scalars()
        assert sum(counts) == 2


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_starts_by_finishes_are_counted_apart(ledger: Ledger) -> None:
    """A finish locks its counters until it commits; a claim's start must not wait for that."""
    parent = new_job()
    after = child(parent)
    await enqueue_all(ledger, parent, after)
    [started] = await begun(ledger, parent)
    await end(ledger, started, wish())
    async with ledger.read() as connection:
        writers = (await connection.execute(select(tallies.c.writer).where(tallies.c.event == "started"))).scalars()
        assert sorted(writers) == ["w1", "w1+"]
