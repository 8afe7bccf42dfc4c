"""An operation stops with its job."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import func, select, text, update

from service.ledger.ledger import Ledger
from service.ledger.models import Start
from service.ledger.operations import JOB_CANCELLED, OPERATE, OperationState
from service.ledger.records.operations import record_stopped
from service.operation_tables import operations
from service.tables import jobs
from tests.service.ledger.makers import NOW, live_worker, new_job
from tests.service.ledger.records.test_operations import accept, found


@pytest.mark.parametrize("runs", [False, True])
async def test_an_operation_stops_in_the_moment_in_which_its_job_is_cancelled(ledger: Ledger, runs: bool) -> None:
    operation = await accept(ledger, kind=OPERATE)
    job_id = operation.job_id
    assert job_id is not None
    if runs:
        await live_worker(ledger)
        assert await ledger.start(Start((job_id,), "w1", (OPERATE,), NOW))
    await ledger.cancel(new_job().id, "w", NOW)
    assert (await found(ledger)).is_live
    await ledger.cancel(job_id, "w", NOW)
    stopped = await found(ledger)
    assert (stopped.state, stopped.error, stopped.finished_at) == (OperationState.STOPPED, JOB_CANCELLED, NOW)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_a_stop_waits_for_the_job_before_it_holds_the_operation(ledger: Ledger) -> None:
    """Otherwise it and a cancel of the job, which locks the job first, would wait for one another."""
    operation = await accept(ledger, kind=OPERATE)
    async with ledger.database.session() as canceller:
        await canceller.execute(update(jobs).where(jobs.c.id == operation.job_id).values(cancel_requested_at=NOW))
        stop = partial(record_stopped, operation_id=operation.id, writer="w", at=NOW)
        stopping = asyncio.create_task(ledger.database.run(stop))
        waits = select(func.count()).where(text("wait_event_type = 'Lock'")).select_from(text("pg_stat_activity"))
        async with ledger.read() as connection:
            async with asyncio.timeout(20):
                while not (await connection.execute(waits)).scalar_one():
                    await asyncio.sleep(0.01)
        await canceller.execute(select(operations.c.id).with_for_update(nowait=True))
        await canceller.rollback()
    stopped, _ = await stopping
    assert stopped is not None
    assert stopped.state is OperationState.STOPPED
