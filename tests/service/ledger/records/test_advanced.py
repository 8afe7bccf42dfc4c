from datetime import timedelta

from sqlalchemy import update

from service.ledger.changes import Changed, ChangeResult
from service.ledger.ledger import Ledger
from service.ledger.records.advanced import Advance, record_advanced
from service.ledger.states import Outcome, State
from service.tables import jobs
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, live_worker, new_job, start
from tests.support.writing import writing

LATER = NOW + timedelta(days=1)


async def test_a_job_that_waits_for_its_time_is_due_at_once(ledger: Ledger) -> None:
    job = new_job(state=State.SCHEDULED, run_at=LATER)
    await enqueue(ledger, job)
    await live_worker(ledger)
    assert await start(ledger, job.id) is None
    changed = await ledger.advance(job.id, NOW)
    assert (changed.result, changed.state) == (ChangeResult.YES, State.QUEUED)
    assert changed.before is not None
    assert changed.after == changed.before._replace(run_at=NOW)
    started = await start(ledger, job.id)
    assert started is not None
    await ledger.finish(finish(started, Outcome.FAILED, State.RETRYING, failures=1, run_at=LATER))
    assert (await ledger.advance(job.id, NOW)).state is State.QUEUED
    again = await start(ledger, job.id)
    assert again is not None
    assert (again.attempt, again.failures) == (2, 1)


async def test_others_are_left_as_they_are_and_said_why(ledger: Ledger) -> None:
    await live_worker(ledger)
    queued, blocked, runs, ended, waits = [new_job() for _ in range(4)] + [new_job(state=State.SCHEDULED, run_at=LATER)]
    await enqueue(ledger, queued, blocked, runs, ended, waits)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == blocked.id).values(state=State.BLOCKED))
    await start(ledger, runs.id)
    await ledger.cancel(ended.id, "test", NOW)
    ids = [queued.id, blocked.id, runs.id, ended.id, "nobody", waits.id, waits.id]
    rows = [await job_row(ledger, job_id) for job_id in ids[:4]]
    advances = [Advance(job_id, NOW) for job_id in ids]
    *refused, one, two = await ledger.database.run(lambda connection: record_advanced(connection, advances))
    assert refused == [
        Changed(ChangeResult.DUE_ALREADY, State.QUEUED),
        Changed(ChangeResult.BLOCKED, State.BLOCKED),
        Changed(ChangeResult.STATE_FORBIDS, State.RUNNING),
        Changed(ChangeResult.STATE_FORBIDS, State.CANCELLED),
        Changed(ChangeResult.NOT_FOUND),
    ]
    assert one == two
    assert [await job_row(ledger, job_id) for job_id in ids[:4]] == rows
