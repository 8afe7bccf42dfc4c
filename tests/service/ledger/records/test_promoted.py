import asyncio
from datetime import timedelta
from functools import partial

from service.ledger.ledger import Ledger
from service.ledger.records.changed import Change, record_changed
from service.ledger.records.promoted import record_promoted
from service.ledger.states import State
from tests.service.ledger.linking import enqueue_all, states
from tests.service.ledger.makers import NOW, new_job
from tests.support.writing import writing


async def test_a_job_that_is_put_off_at_this_moment_stays_scheduled_and_holds_up_no_other(ledger: Ledger) -> None:
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    put_off, other = new_job(state=State.SCHEDULED), new_job(state=State.SCHEDULED)
    await enqueue_all(ledger, put_off, other)
    async with writing(ledger.database) as connection:
        change = Change(put_off.id, NOW, {"run_at": NOW + timedelta(hours=1)})
        await connection.run_sync(record_changed, [change])
        async with asyncio.timeout(5):
            promoted = await ledger.database.run(partial(record_promoted, at=NOW, limit=10))
    assert [one.id for one in promoted] == [other.id]
    assert await states(ledger, put_off, other) == ["scheduled", "queued"]
