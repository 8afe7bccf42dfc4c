import pytest

from service.errors import UniqueKeyTaken
from service.ledger.ledger import Ledger
from service.ledger.records.replayed import Replayed
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, new_job, running, start


async def test_replay_keeps_the_attempts_and_resets_the_counters(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED, failures=1))
    assert await ledger.replay(started.id, NOW)
    row = await job_row(ledger, started.id)
    assert (row["state"], row["failures"], row["attempt"]) == ("queued", 0, 1)
    again = await start(ledger, started.id)
    assert again is not None
    assert again.attempt == 2


async def test_replay_of_a_succeeded_or_waiting_job_is_refused(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    assert not await ledger.replay(started.id, NOW)


async def test_replay_is_refused_when_the_unique_key_is_taken(ledger: Ledger) -> None:
    first = new_job(unique_key="k")
    await enqueue(ledger, first)
    await ledger.cancel(first.id, "test", NOW)
    await enqueue(ledger, new_job(unique_key="k"))
    with pytest.raises(UniqueKeyTaken):
        await ledger.replay(first.id, NOW)


async def test_a_replayed_job_goes_to_the_end_of_its_lanes(ledger: Ledger) -> None:
    first, second, third = (new_job(lane="a") for _ in range(3))
    await enqueue(ledger, first, second, third)
    for job in (second, first):
        await ledger.cancel(job.id, "test", NOW)
    assert [await ledger.try_replay(job.id, NOW) for job in (second, first)] == [Replayed.YES] * 2
    seqs = {job.id: (await job_row(ledger, job.id))["lane_seq"] for job in (first, second, third)}
    assert seqs[third.id] < seqs[second.id] < seqs[first.id]


async def test_a_replayed_job_without_lanes_gets_no_place_in_any(ledger: Ledger) -> None:
    job = new_job()
    await enqueue(ledger, job)
    await ledger.cancel(job.id, "test", NOW)
    assert await ledger.replay(job.id, NOW)
    assert (await job_row(ledger, job.id))["lane_seq"] is None
