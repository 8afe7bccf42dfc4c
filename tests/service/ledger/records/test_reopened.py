"""Jobs that wait for one another, replayed together."""

import asyncio

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import NewJob
from service.ledger.records.replayed import Replayed
from service.ledger.states import State
from tests.service.ledger.linking import child, edges, end, enqueue_all, follow_up, rows_of, states
from tests.service.ledger.makers import NOW, enqueue, new_job


async def cancel(ledger: Ledger, *some: NewJob) -> None:
    for job in reversed(some):
        await ledger.cancel(job.id, "test", NOW)
    await follow_up(ledger)


async def replay(ledger: Ledger, *some: NewJob) -> list[Replayed]:
    return await asyncio.gather(*(ledger.try_replay(job.id, NOW) for job in some))


def chain(length: int) -> list[NewJob]:
    made = [new_job()]
    while len(made) < length:
        made.append(child(made[-1]))
    return made


async def test_a_chain_that_a_user_cancelled_waits_as_before_when_all_of_it_is_replayed(ledger: Ledger) -> None:
    some = chain(50)
    await enqueue_all(ledger, *some)
    await cancel(ledger, *some)
    assert set((await edges(ledger)).values()) == {"broken"}
    assert set(await replay(ledger, *some)) == {Replayed.YES}
    assert await states(ledger, *some) == ["queued"] + ["blocked"] * 49
    assert set((await edges(ledger)).values()) == {"open"}
    assert {row.blocked_by for row in (await rows_of(ledger, some[1:])).values()} == {1}
    await follow_up(ledger)
    assert await states(ledger, *some) == ["queued"] + ["blocked"] * 49
    for job in some[:3]:
        await end(ledger, job)
    assert await states(ledger, *some[:4]) == ["succeeded"] * 3 + ["queued"]


async def test_a_job_that_needs_one_which_is_not_replayed_stays_and_so_does_what_needs_it(ledger: Ledger) -> None:
    first, *others = chain(4)
    await enqueue_all(ledger, first, *others)
    await cancel(ledger, first, *others)
    assert await replay(ledger, *others) == [Replayed.PARENT_FAILED] * 3
    assert await states(ledger, first, *others) == ["cancelled"] * 4
    assert set((await edges(ledger)).values()) == {"broken"}


async def test_what_waits_for_a_job_replayed_before_may_be_replayed_before_it_is_followed_up(ledger: Ledger) -> None:
    first, second = chain(2)
    await enqueue_all(ledger, first, second)
    await cancel(ledger, first, second)
    assert await ledger.try_replay(first.id, NOW) is Replayed.YES
    assert await ledger.try_replay(second.id, NOW) is Replayed.YES
    assert await states(ledger, first, second) == ["queued", "blocked"]
    await end(ledger, first)
    await follow_up(ledger)
    assert await states(ledger, second) == ["queued"]


@pytest.mark.parametrize("taken", ["first", "second"])
async def test_a_job_whose_unique_key_is_taken_is_left_and_what_needs_it_falls_again(
    ledger: Ledger, taken: str
) -> None:
    root = new_job()
    first = child(root, unique_key="k" if taken == "first" else None)
    second = child(first, unique_key="k" if taken == "second" else None)
    await enqueue_all(ledger, root, first, second)
    await cancel(ledger, root, first, second)
    await enqueue(ledger, new_job(unique_key="k"))
    became = dict(zip(("root", "first", "second"), await replay(ledger, root, first, second), strict=True))
    assert became[taken] is Replayed.UNIQUE_KEY_TAKEN
    await follow_up(ledger)
    expected = {"first": ["queued", "cancelled", "cancelled"], "second": ["queued", "blocked", "cancelled"]}
    assert await states(ledger, root, first, second) == expected[taken]
    await end(ledger, root, State.SUCCEEDED)
    await follow_up(ledger)
    assert (await states(ledger, first)) == ["cancelled" if taken == "first" else "queued"]
