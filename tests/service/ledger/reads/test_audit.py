"""The loss audit: what counts as unaccounted, and what merely waits."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from service.flow_tables import followups
from service.ledger.leases import LONGEST_SWEEP_GAP
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, NewJob
from service.ledger.reads import audit
from service.ledger.reads.attempt_audit import misnumbered
from service.ledger.reads.audit import JUDGED_AFTER
from service.ledger.records.workers import record_ended
from service.ledger.states import TERMINAL, WAITING, Outcome, State
from service.tables import attempts, jobs, sweep_lease, workers
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.writing import writing

EPOCH = "epoch-5"
LATE = NOW - JUDGED_AFTER - timedelta(seconds=1)
INSTANT = timedelta(microseconds=1)


async def swept(ledger: Ledger, *, at: datetime = NOW, since: datetime = LATE) -> None:
    """Have the sweep made whole passes, at `EPOCH`, `since` then and `at` last."""
    row = {"id": 1, "leader": "l", "leased_until": NOW, "epoch": EPOCH, "swept_at": at, "swept_since": since}
    async with writing(ledger.database) as connection:
        await connection.execute(delete(sweep_lease))
        await connection.execute(insert(sweep_lease).values(row))


async def change(ledger: Ledger, job: NewJob, **values: Any) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job.id).values(values))


async def unaccounted(ledger: Ledger, now: datetime = NOW) -> Mapping[str, str]:
    async with ledger.read() as connection:
        found = await audit.find_unaccounted(connection, now, 100)
        assert await audit.count_unaccounted(connection, now) == len(found)
    return {one.job_id: one.reason for one in found}


async def running(ledger: Ledger, worker: str = "w1", since: datetime = LATE) -> NewJob:
    await live_worker(ledger, worker, at=since)
    job = new_job(created_at=since, run_at=since)
    await enqueue(ledger, job)
    assert await start(ledger, job.id, worker, since)
    return job


async def heard_of(ledger: Ledger, worker: str, at: datetime) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(update(workers).where(workers.c.id == worker).values(heartbeat_at=at))


async def test_jobs_that_have_ended_or_run_or_wait_are_accounted_for(ledger: Ledger) -> None:
    await swept(ledger)
    await enqueue(ledger, *(new_job(state=state, created_at=LATE, run_at=LATE) for state in TERMINAL))
    await enqueue(ledger, *(new_job(state=state, created_at=LATE, run_at=NOW + JUDGED_AFTER) for state in WAITING))
    await running(ledger)
    await heard_of(ledger, "w1", NOW)
    on_queue = new_job(created_at=LATE, run_at=LATE)
    await enqueue(ledger, on_queue)
    await change(ledger, on_queue, dispatch_epoch=EPOCH)
    assert await unaccounted(ledger) == {}


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("epoch", ["", "epoch-4", "epoch-6"])
async def test_a_job_due_for_long_and_not_on_the_queue_is_unaccounted(ledger: Ledger, state: State, epoch: str) -> None:
    await swept(ledger)
    job = new_job(state=state, created_at=LATE, run_at=LATE)
    await enqueue(ledger, job)
    await change(ledger, job, dispatch_epoch=epoch)
    assert await unaccounted(ledger) == {job.id: f"due since {LATE}, but not on the queue"}


async def test_a_job_that_has_just_come_due_or_been_handed_back_only_waits(ledger: Ledger) -> None:
    await swept(ledger)
    await enqueue(ledger, new_job(created_at=LATE, run_at=NOW - JUDGED_AFTER), new_job(created_at=NOW, run_at=LATE))
    handed_back = await running(ledger)
    await ledger.finish(Finish(handed_back.id, "greet", 1, "w1", Outcome.INTERRUPTED, State.QUEUED, NOW))
    assert await unaccounted(ledger) == {}
    await swept(ledger, at=NOW + JUDGED_AFTER * 2)
    assert len(await unaccounted(ledger, NOW + JUDGED_AFTER * 2)) == 3


@pytest.mark.parametrize(
    ("at", "since"),
    [(NOW - LONGEST_SWEEP_GAP - INSTANT, LATE), (NOW, NOW - JUDGED_AFTER + INSTANT)],
    ids=["nobody sweeps, or Redis is away", "the sweep has come back lately"],
)
async def test_jobs_that_the_sweep_could_not_mend_yet_only_wait(ledger: Ledger, at: datetime, since: datetime) -> None:
    await swept(ledger, at=at, since=since)
    await enqueue(ledger, new_job(created_at=LATE, run_at=LATE))
    await running(ledger)
    assert await unaccounted(ledger) == {}


async def test_without_any_sweep_ever_jobs_only_wait(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(created_at=LATE, run_at=LATE))
    assert await unaccounted(ledger) == {}


async def test_a_job_of_a_dead_worker_that_was_not_rescued_is_unaccounted(ledger: Ledger) -> None:
    await swept(ledger)
    silent, ended, unknown, _alive = [await running(ledger, f"w{n}") for n in range(4)]
    await heard_of(ledger, "w3", NOW - JUDGED_AFTER)
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_ended, "w1", LATE)
        await connection.execute(delete(workers).where(workers.c.id == "w2"))
    assert await unaccounted(ledger) == {
        job.id: f"running under the worker w{n}, which is gone, and not rescued"
        for n, job in enumerate((silent, ended, unknown))
    }


async def test_a_worker_that_was_declared_dead_just_now_is_about_to_be_rescued_from(ledger: Ledger) -> None:
    await swept(ledger)
    await running(ledger)
    async with writing(ledger.database) as connection:
        await connection.execute(update(workers).values(ended_at=NOW, declared_dead=1))
    assert await unaccounted(ledger) == {}


async def test_a_running_job_whose_attempt_has_ended_is_unaccounted_at_once(ledger: Ledger) -> None:
    ended, _sound = await running(ledger, "w1", NOW), await running(ledger, "w2", NOW)
    await _add_attempts(ledger, (ended.id, 1))
    assert await unaccounted(ledger) == {ended.id: "running as attempt 1, but that attempt has ended"}


async def _add_attempts(ledger: Ledger, *numbers: tuple[str, int]) -> None:
    row = {"worker": "w", "outcome": "failed", "started_at": NOW, "finished_at": NOW}
    async with writing(ledger.database) as connection:
        for job_id, number in numbers:
            await connection.execute(insert(attempts).values(job_id=job_id, number=number, **row))


async def wrong_numbers(ledger: Ledger) -> dict[str, str]:
    async with ledger.read() as connection:
        return {one.job_id: one.reason async for one in misnumbered(connection)}


async def test_attempts_of_healthy_jobs_are_numbered_well(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ledger.reads.attempt_audit._PAGE", 2)
    await running(ledger)
    await enqueue(ledger, *(new_job(state=state) for state in (*WAITING, *TERMINAL)))
    await live_worker(ledger, "w2")
    again = new_job()
    await enqueue(ledger, again)
    for number in (1, 2):
        assert await start(ledger, again.id, "w2")
        await ledger.finish(Finish(again.id, "greet", number, "w2", Outcome.SNOOZED, State.RETRYING, NOW, run_at=NOW))
    assert await wrong_numbers(ledger) == {}


async def test_attempts_that_are_missing_or_too_many_are_found_on_every_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ledger.reads.attempt_audit._PAGE", 1)
    lacking, ended, good = (new_job() for _ in range(3))
    await enqueue(ledger, lacking, ended, good)
    await change(ledger, lacking, attempt=2)
    await change(ledger, ended, attempt=1, state="running")
    await _add_attempts(ledger, (lacking.id, 2), (ended.id, 1))
    assert await wrong_numbers(ledger) == {
        lacking.id: "queued after attempt 2, but 1 ended attempt is recorded",
        ended.id: "running after attempt 1, but 1 ended attempt is recorded",
    }


async def test_a_blocked_job_must_wait_for_a_live_job_or_one_that_is_to_be_followed_up(ledger: Ledger) -> None:
    parent = new_job(created_at=LATE)
    waits = new_job(created_at=LATE, after=(parent.id,))
    fallen = new_job(created_at=LATE, after=(waits.id,))
    await enqueue(ledger, parent, waits, fallen)
    assert await unaccounted(ledger) == {}
    await ledger.cancel(parent.id, "test", NOW)
    assert await unaccounted(ledger) == {}, "its parent is to be followed up"
    async with writing(ledger.database) as connection:
        await connection.execute(delete(followups))
    reason = "blocked, but no job that it waits for will release it"
    assert await unaccounted(ledger) == {fallen.id: reason}
    assert await unaccounted(ledger, LATE) == {}, "it has not been blocked for long"
