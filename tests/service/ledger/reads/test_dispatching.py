from collections.abc import Sequence
from datetime import datetime, timedelta

from service.ledger.ledger import Ledger
from service.ledger.models import Finish, NewJob
from service.ledger.reads import dispatching
from service.ledger.reads import jobs as queries
from service.ledger.reads.dispatching import GRACE_BEFORE_DISPATCH, HORIZON
from service.ledger.records.dispatched import record_dispatched
from service.ledger.records.promoted import record_promoted
from service.ledger.states import TERMINAL, WAITING, Outcome, State
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.writing import writing

EPOCH = "0190-epoch-5"
OLD = NOW - timedelta(minutes=5)
INSTANT = timedelta(microseconds=1)


async def undispatched(ledger: Ledger, at: datetime = NOW, epoch: str = EPOCH, limit: int = 100) -> set[str]:
    async with ledger.read() as connection:
        return {row.id for row in await dispatching.undispatched(connection, epoch, at, limit)}


async def note(ledger: Ledger, epoch: str, *jobs: NewJob) -> None:
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_dispatched, [(job.id, 0) for job in jobs], epoch)


async def promote(ledger: Ledger, limit: int = 100) -> int:
    async with writing(ledger.database) as connection:
        return len(await connection.run_sync(record_promoted, NOW, limit))


async def epoch_of(ledger: Ledger, job: NewJob) -> str:
    async with ledger.read() as connection:
        row = await queries.get_job(connection, job.id)
    assert row is not None
    return str(row["dispatch_epoch"])


async def states(ledger: Ledger, jobs: Sequence[NewJob]) -> list[State]:
    async with ledger.read() as connection:
        found = await queries.states_of(connection, [job.id for job in jobs])
    return [found[job.id][0] for job in jobs]


async def test_jobs_without_the_current_epochs_mark_are_undispatched(ledger: Ledger) -> None:
    never, earlier, later, current = (new_job(created_at=OLD) for _ in range(4))
    await enqueue(ledger, never, earlier, later, current)
    await note(ledger, "0190-epoch-4", earlier)
    await note(ledger, "0190-epoch-6", later)
    await note(ledger, EPOCH, current)
    assert await undispatched(ledger) == {never.id, earlier.id, later.id}


async def test_every_row_has_what_the_queue_needs(ledger: Ledger) -> None:
    job = new_job(created_at=OLD, queue="slow", arq_id="theirs")
    await enqueue(ledger, job)
    async with ledger.read() as connection:
        (row,) = await dispatching.undispatched(connection, EPOCH, NOW, 10)
    assert (row.id, row.kind, row.queue, row.run_at, row.arq_id) == (job.id, "greet", "slow", NOW, "theirs")


async def test_jobs_due_beyond_the_horizon_wait_in_the_ledger(ledger: Ledger) -> None:
    within = [new_job(created_at=OLD, state=state, run_at=NOW + HORIZON) for state in WAITING]
    beyond = [new_job(created_at=OLD, state=state, run_at=NOW + HORIZON + INSTANT) for state in WAITING]
    await enqueue(ledger, *within, *beyond)
    assert await undispatched(ledger) == {job.id for job in within}


async def test_a_new_job_is_left_to_the_process_that_recorded_it_for_a_while(ledger: Ledger) -> None:
    job = new_job(created_at=NOW)
    await enqueue(ledger, job)
    assert await undispatched(ledger, NOW + GRACE_BEFORE_DISPATCH - INSTANT) == set()
    assert await undispatched(ledger, NOW + GRACE_BEFORE_DISPATCH) == {job.id}


async def test_running_and_terminal_jobs_are_not_dispatched(ledger: Ledger) -> None:
    await enqueue(ledger, *(new_job(created_at=OLD, state=state) for state in (State.RUNNING, *TERMINAL)))
    assert await undispatched(ledger) == set()


async def test_at_most_the_limit_is_returned_and_the_rest_next_time(ledger: Ledger) -> None:
    jobs = [new_job(created_at=OLD) for _ in range(9)]
    await enqueue(ledger, *jobs)
    await note(ledger, "0190-epoch-6", *jobs[:4])
    seen: set[str] = set()
    for expected in (4, 4, 1, 0):
        found = await undispatched(ledger, limit=4)
        assert len(found) == expected
        await note(ledger, EPOCH, *(job for job in jobs if job.id in found))
        seen |= found
    assert seen == {job.id for job in jobs}


async def test_a_started_job_is_on_no_queue_any_more(ledger: Ledger) -> None:
    await live_worker(ledger)
    job = new_job(created_at=OLD)
    await enqueue(ledger, job)
    await note(ledger, EPOCH, job)
    assert await start(ledger, job.id)
    assert await epoch_of(ledger, job) == ""
    await note(ledger, EPOCH, job)
    assert await epoch_of(ledger, job) == ""


async def test_only_due_jobs_are_promoted(ledger: Ledger) -> None:
    due = [new_job(state=state, run_at=NOW) for state in (State.SCHEDULED, State.RETRYING)]
    not_yet = [new_job(state=job.state, run_at=NOW + INSTANT) for job in due]
    other = [new_job(state=state, run_at=OLD) for state in (State.QUEUED, State.RUNNING, *TERMINAL)]
    await enqueue(ledger, *due, *not_yet, *other)
    assert await promote(ledger) == 2
    assert await states(ledger, due) == [State.QUEUED, State.QUEUED]
    assert await states(ledger, [*not_yet, *other]) == [job.state for job in [*not_yet, *other]]
    assert await promote(ledger) == 0


async def test_the_longest_due_are_promoted_first(ledger: Ledger) -> None:
    jobs = [new_job(state=State.SCHEDULED, run_at=OLD + timedelta(seconds=n)) for n in (3, 1, 2)]
    await enqueue(ledger, *jobs)
    assert await promote(ledger, limit=2) == 2
    assert await states(ledger, jobs) == [State.SCHEDULED, State.QUEUED, State.QUEUED]


async def test_note_on_a_job_that_was_started_since_is_refused(ledger: Ledger) -> None:
    job = new_job()
    await enqueue(ledger, job)
    await live_worker(ledger)
    assert await start(ledger, job.id)
    await ledger.finish(Finish(job.id, "greet", 1, "w1", Outcome.SNOOZED, State.RETRYING, NOW, run_at=NOW))
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_dispatched, [(job.id, 0)], EPOCH)
    assert job.id in await undispatched(ledger, NOW + GRACE_BEFORE_DISPATCH)
