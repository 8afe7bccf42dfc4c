"""What comes with the start of a child: its parents, where they are little to hold."""

from typing import Any

import pytest

from jobs.kit.results import Parent
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob, Start, Started
from service.ledger.reads import particulars
from service.ledger.states import Outcome, State
from tests.service.ledger.linking import child, enqueue_all
from tests.service.ledger.makers import NOW, finish, live_worker, new_job, start


async def ended(ledger: Ledger, job: NewJob, result: str | None) -> None:
    started = await start(ledger, job.id)
    assert started is not None
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result=result))


async def started_at_once(ledger: Ledger, *jobs: NewJob) -> list[Started]:
    started = await ledger.start(Start(tuple(job.id for job in jobs), "w1", ("greet",), NOW))
    return [started[job.id] for job in jobs]


@pytest.fixture
async def parents(ledger: Ledger) -> list[NewJob]:
    """Three jobs that run."""
    await live_worker(ledger)
    jobs: list[Any] = [new_job() for _ in range(3)]
    await enqueue_all(ledger, *jobs)
    return jobs


async def test_parents_come_with_the_start_in_the_order_in_which_the_job_named_them(
    ledger: Ledger, parents: list[NewJob]
) -> None:
    first, second, third = parents
    mine, other, lone = child(third, first), child(second), new_job()
    await enqueue_all(ledger, mine, other, lone)
    for job, result in ((first, '{"n": 1}'), (second, None), (third, "3")):
        await ended(ledger, job, result)
    given = [started.parents for started in await started_at_once(ledger, mine, other, lone)]
    assert given == [(Parent(third.id, None, "3"), Parent(first.id, None, '{"n": 1}')), (Parent(second.id),), None]


async def test_a_child_of_a_long_result_is_given_it_later(ledger: Ledger, parents: list[NewJob]) -> None:
    long, short, _ = parents
    of_both, of_short = child(long, short), child(short)
    await enqueue_all(ledger, of_both, of_short)
    await ended(ledger, long, f'"{"x" * particulars._SHORT_RESULT}"')
    await ended(ledger, short, '"é"')
    given = [started.parents for started in await started_at_once(ledger, of_both, of_short)]
    assert given == [None, (Parent(short.id, None, '"é"'),)]


async def test_a_start_holds_no_more_than_a_few_parents(
    ledger: Ledger, parents: list[NewJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(particulars, "_FEW_PARENTS", 2)
    particulars._few_parents.cache_clear()
    of_all, of_one = child(*parents), child(parents[0])
    await enqueue_all(ledger, of_all, of_one)
    for job in parents:
        await ended(ledger, job, "1")
    assert [started.parents for started in await started_at_once(ledger, of_all)] == [None]
    assert [started.parents for started in await started_at_once(ledger, of_one)] == [
        (Parent(parents[0].id, None, "1"),)
    ]
    particulars._few_parents.cache_clear()
