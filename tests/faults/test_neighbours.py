"""A row that the database refuses, among a hundred others of the same group commit."""

import asyncio
from datetime import timedelta

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import Failure, Finish, Start
from service.ledger.reads import jobs as queries
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, enqueue, live_worker, new_job


@pytest.mark.short
async def test_nul_in_one_outcome_harms_none_of_its_hundred_neighbours(ledger: Ledger) -> None:
    await live_worker(ledger)
    ids = [f"job-{number:03}" for number in range(101)]
    await enqueue(ledger, *(new_job(id=job_id) for job_id in ids))
    await ledger.start(Start(tuple(ids), "w1", ("greet",), NOW))
    bad = ids[57]
    ended = await asyncio.gather(
        *(ledger.finish(_finish(job_id)) for job_id in ids if job_id != bad), _try(ledger, bad)
    )
    assert len(ended) == len(ids)
    async with ledger.read() as connection:
        states = await queries.states_of(connection, ids)
    assert {state for job_id, (state, _) in states.items() if job_id != bad} == {State.SUCCEEDED}


async def _try(ledger: Ledger, job_id: str) -> bool:
    """Postgres refuses the NUL, SQLite takes it; neither may harm the neighbours."""
    nul = _finish(job_id)._replace(outcome=Outcome.DISCARDED, state=State.FAILED, failure=Failure("Bad", "a\0b"))
    try:
        await ledger.finish(nul)
    except Exception:  # noqa: BLE001 - the driver chooses the error
        return False
    return True


def _finish(job_id: str) -> Finish:
    return Finish(
        id=job_id,
        kind="greet",
        attempt=1,
        worker="w1",
        outcome=Outcome.SUCCEEDED,
        state=State.SUCCEEDED,
        at=NOW + timedelta(seconds=1),
        result="null",
    )
