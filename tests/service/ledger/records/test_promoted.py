import asyncio
from datetime import timedelta
from functools import partial

from service.ledger.ledger import Ledger
from service.ledger.records.changed import Change, record_changed
from service.ledger.records.promoted import record_promoted
from service.ledger.states import State
from tests.service.ledger.linking import enqueue_all, states, until_blocked
from tests.service.ledger.makers import NOW, new_job
from tests.support.writing import writing


async def test_a_job_that_is_put_off_at_this_moment_stays_scheduled(ledger: Ledger) -> None:
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    job = new_job(state=State.SCHEDULED)
    await enqueue_all(ledger, job)
    async with writing(ledger.database) as connection:
        change = Change(job.id, NOW, {"run_at": NOW + timedelta(hours=1)})
        await connection.run_sync(record_changed, [change])
        promotion = asyncio.create_task(ledger.database.run(partial(record_promoted, at=NOW, limit=10)))
        await until_blocked(ledger, promotion)
    assert await promotion == []
    assert await states(ledger, job) == ["scheduled"]
