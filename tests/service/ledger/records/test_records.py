import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from service.errors import UniqueKeyTaken
from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish, IdempotencyKey, Start, Started
from service.ledger.reads import counts as counts_reads
from service.ledger.reads import jobs as queries
from service.ledger.records.workers import record_dead, record_heartbeat
from service.ledger.states import Outcome, State
from service.tables import workers
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job, start
from tests.support.writing import writing


async def job_row(ledger: Ledger, job_id: str) -> Any:
    async with ledger.read() as connection:
        return await queries.get_job(connection, job_id)


async def attempt_rows(ledger: Ledger, job_id: str) -> Any:
    async with ledger.read() as connection:
        return (await queries.get_attempts(connection, [job_id]))[job_id]


def finish(started: Started, outcome: Outcome, state: State, **fields: Any) -> Finish:
    return Finish(started.id, started.kind, started.attempt, started.worker, outcome, state, NOW, **fields)


async def running(ledger: Ledger, **fields: Any) -> Started:
    await live_worker(ledger)
    job = new_job(**fields)
    await enqueue(ledger, job)
    started = await start(ledger, job.id)
    assert started is not None
    return started


async def test_enqueued_job_is_read_back_as_it_was_given(ledger: Ledger) -> None:
    job = new_job(
        args='{"name":"Änn \\u2028 \'q\'"}', tags=("a", "b"), run_at=NOW + timedelta(microseconds=1), timeout_s=1.5
    )
    assert (await enqueue(ledger, job)).ids == (job.id,)
    row = await job_row(ledger, job.id)
    for name in ("id", "kind", "state", "queue", "args", "run_at", "created_at", "max_attempts", "timeout_s"):
        assert row[name] == getattr(job, name), name
    assert row["tags"] == '["a","b"]'


async def test_enqueueing_the_same_id_again_is_a_success_and_adds_nothing(ledger: Ledger) -> None:
    job = new_job()
    assert (await enqueue(ledger, job)).ids == (await enqueue(ledger, job)).ids
    async with ledger.read() as connection:
        assert await counts_reads.count_live(connection) == {"running": 0, "waiting": 1}


async def test_live_unique_key_gives_its_holder(ledger: Ledger) -> None:
    first, second = new_job(unique_key="k"), new_job(unique_key="k")
    await enqueue(ledger, first)
    result = await enqueue(ledger, second)
    assert result.ids == (first.id,)
    assert result.created == frozenset()


async def test_fifty_parallel_jobs_of_one_unique_key_make_one(ledger: Ledger) -> None:
    results = await asyncio.gather(*(enqueue(ledger, new_job(unique_key="k")) for _ in range(50)))
    assert len({result.ids for result in results}) == 1
    assert sum(len(result.created) for result in results) == 1


async def test_unique_key_is_free_again_when_its_job_has_ended(ledger: Ledger) -> None:
    first, second = new_job(unique_key="k"), new_job(unique_key="k")
    await enqueue(ledger, first)
    await ledger.cancel(first.id, "test", NOW)
    assert (await enqueue(ledger, second)).created == {second.id}


def key(fingerprint: str = "f", **fields: Any) -> IdempotencyKey:
    given = IdempotencyKey("key", fingerprint, '{"answer":1}', NOW, NOW + timedelta(hours=24))
    return replace(given, **fields)


async def test_idempotency_key_gives_the_first_answer_and_records_nothing_more(ledger: Ledger) -> None:
    first, second = new_job(), new_job()
    assert (await enqueue(ledger, first, key=key())).created == {first.id}
    held = (await enqueue(ledger, second, key=key("other"))).held
    assert (held.fingerprint, held.answer, held.job_id) == ("f", '{"answer":1}', first.id)
    assert await job_row(ledger, second.id) is None


async def test_parallel_requests_of_one_idempotency_key_make_one_job(ledger: Ledger) -> None:
    results = await asyncio.gather(*(enqueue(ledger, new_job(), key=key()) for _ in range(50)))
    assert sum(len(result.created) for result in results) == 1
    assert sum(result.held is not None for result in results) == 49


async def test_expired_idempotency_key_is_free_again(ledger: Ledger) -> None:
    await enqueue(ledger, new_job(), key=key())
    later = NOW + timedelta(hours=25)
    again = new_job()
    assert (await enqueue(ledger, again, key=key(created_at=later, expires_at=later + timedelta(1)))).created == {
        again.id
    }


async def test_batch_is_recorded_all_or_none(ledger: Ledger) -> None:
    good, bad = new_job(), new_job(queue=None)
    with pytest.raises(Exception, match=r"(?i)null"):
        await enqueue(ledger, good, bad)
    assert await job_row(ledger, good.id) is None


async def test_one_job_with_bad_data_does_not_fail_its_neighbours(ledger: Ledger) -> None:
    jobs = [new_job(queue=None if number == 37 else "default") for number in range(100)]
    results = await asyncio.gather(*(enqueue(ledger, job) for job in jobs), return_exceptions=True)
    assert [number for number, result in enumerate(results) if isinstance(result, Exception)] == [37]
    async with ledger.read() as connection:
        assert (await counts_reads.count_live(connection))["waiting"] == 99


async def test_start_numbers_the_attempt_and_gives_the_args_with_their_secrets(ledger: Ledger) -> None:
    started = await running(ledger, args='{"a":"***"}', sealed_args='{"a":"s3cret"}')
    assert (started.attempt, started.args) == (1, '{"a":"s3cret"}')
    row = await job_row(ledger, started.id)
    assert (row["state"], row["attempt"], row["worker"], row["started_at"]) == ("running", 1, "w1", NOW)
    assert [(a["number"], a["outcome"]) for a in await attempt_rows(ledger, started.id)] == [(1, None)]


@pytest.mark.parametrize("told", [{"trace_context": '{"traceparent":"00-1"}', "metadata": '{"n":1}'}, {}], ids=str)
async def test_an_attempt_carries_the_trace_and_the_metadata_of_its_job(ledger: Ledger, told: dict[str, str]) -> None:
    started = await running(ledger, **told)
    assert (started.trace_context, started.metadata) == (told.get("trace_context"), told.get("metadata"))


async def test_running_job_is_not_started_again(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await start(ledger, started.id) is None
    assert len(await attempt_rows(ledger, started.id)) == 1


async def test_dead_worker_starts_nothing(ledger: Ledger) -> None:
    await live_worker(ledger)
    await live_worker(ledger, "rescuer")
    later = NOW + timedelta(seconds=25)
    async with writing(ledger.database) as connection:
        for seconds in range(5, 30, 5):
            assert await connection.run_sync(record_heartbeat, "rescuer", NOW + timedelta(seconds=seconds))
        assert await connection.run_sync(record_dead, "rescuer", later) == ["w1"]
    job = new_job()
    await enqueue(ledger, job)
    assert await start(ledger, job.id) is None


async def test_unknown_kind_and_expired_job_are_not_started(ledger: Ledger) -> None:
    await live_worker(ledger)
    unknown, expired = new_job(kind="newer"), new_job(expires_at=NOW - timedelta(seconds=1))
    await enqueue(ledger, unknown, expired)
    assert await start(ledger, unknown.id) is None
    assert await start(ledger, expired.id) is None


async def test_job_is_started_from_its_due_time_on_by_the_clock_of_due_times(ledger: Ledger) -> None:
    worker = await live_worker(ledger)
    job = new_job(run_at=NOW + timedelta(minutes=1))
    await enqueue(ledger, job)
    assert await start(ledger, job.id) is None
    early, due = (Start((job.id,), worker, ("greet",), NOW, NOW + timedelta(seconds=s)) for s in (59, 60))
    assert not await ledger.start(early)
    assert await ledger.start(due)


async def test_success_is_recorded_with_its_result(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result='{"x":1}'))
    row = await job_row(ledger, started.id)
    assert (row["state"], row["result"], row["finished_at"]) == ("succeeded", '{"x":1}', NOW)
    assert [a["outcome"] for a in await attempt_rows(ledger, started.id)] == ["succeeded"]


async def test_failure_is_recorded_on_job_and_attempt(ledger: Ledger) -> None:
    started = await running(ledger)
    failure = Failure("ValueError", "bad", "Traceback ...")
    later = NOW + timedelta(seconds=9)
    await ledger.finish(finish(started, Outcome.FAILED, State.RETRYING, failures=1, run_at=later, failure=failure))
    row = await job_row(ledger, started.id)
    assert (row["state"], row["failures"], row["run_at"], row["finished_at"]) == ("retrying", 1, later, None)
    assert (row["error_type"], row["error_message"]) == ("ValueError", "bad")
    assert (await attempt_rows(ledger, started.id))[0]["traceback"] == "Traceback ..."


async def test_finish_of_an_attempt_that_was_taken_away_is_refused(ledger: Ledger) -> None:
    first = await running(ledger)
    await ledger.finish(finish(first, Outcome.CRASHED, State.QUEUED, crashes=1))
    second = await start(ledger, first.id)
    assert second is not None
    assert (
        await ledger.finish(finish(first, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=NOW + timedelta(1))) is None
    )
    assert (await job_row(ledger, first.id))["state"] == "running"
    assert [a["outcome"] for a in await attempt_rows(ledger, first.id)] == ["crashed", None]


async def test_finish_sent_again_is_a_success_and_changes_nothing(ledger: Ledger) -> None:
    started = await running(ledger)
    failed = finish(started, Outcome.FAILED, State.RETRYING, failures=1)
    assert await ledger.finish(failed) == await ledger.finish(failed)
    assert (await job_row(ledger, started.id))["failures"] == 1


async def test_running_job_whose_cancellation_was_asked_for_ends_cancelled(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.cancel(started.id, "test", NOW) is State.RUNNING
    finished = await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result="1"))
    assert finished is not None
    assert finished.state is State.CANCELLED
    row = await job_row(ledger, started.id)
    assert (row["state"], row["result"]) == ("cancelled", None)
    assert [a["outcome"] for a in await attempt_rows(ledger, started.id)] == ["cancelled"]


async def test_waiting_job_is_cancelled_at_once_and_terminal_job_not_at_all(ledger: Ledger) -> None:
    job = new_job()
    await enqueue(ledger, job)
    assert await ledger.cancel(job.id, "test", NOW) is State.CANCELLED
    assert await ledger.cancel(job.id, "test", NOW) is None


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


async def test_tallies_count_what_was_committed(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    async with ledger.read() as connection:
        totals = set(await counts_reads.tally_totals(connection))
    assert totals == {("greet", "enqueued", 1), ("greet", "started", 1), ("greet", "succeeded", 1)}


async def test_registering_a_worker_again_is_a_success_and_changes_nothing(ledger: Ledger) -> None:
    await live_worker(ledger, at=NOW)
    await live_worker(ledger, at=NOW + timedelta(seconds=1))
    async with ledger.read() as connection:
        [worker] = (await connection.execute(select(workers))).all()
    assert worker.started_at == NOW


async def test_late_finish_is_refused_in_the_group_that_finishes_the_attempt_after_it(ledger: Ledger) -> None:
    first = await running(ledger)
    await ledger.finish(finish(first, Outcome.INTERRUPTED, State.QUEUED))
    second = await start(ledger, first.id)
    assert second is not None
    late = finish(first, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=NOW + timedelta(seconds=1))
    own = finish(second, Outcome.FAILED, State.RETRYING)
    refused, finished = await asyncio.gather(ledger.finish(late), ledger.finish(own))
    assert refused is None
    assert finished is not None
    assert [row["outcome"] for row in await attempt_rows(ledger, first.id)] == ["interrupted", "failed"]
