"""An operation stops with its job."""

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import Start
from service.ledger.operations import JOB_CANCELLED, OPERATE, OperationState
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
