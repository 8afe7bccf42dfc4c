from datetime import timedelta

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import Start
from service.ledger.records.workers import record_dead, record_heartbeat
from tests.service.ledger.makers import NOW, attempt_rows, enqueue, job_row, live_worker, new_job, running, start
from tests.support.writing import writing


async def test_start_numbers_the_attempt_and_returns_the_args_with_their_secrets(ledger: Ledger) -> None:
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
