import asyncio
from datetime import timedelta
from functools import partial

from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.records.expired import record_expired
from service.tables import jobs
from tests.service.ledger.linking import enqueue_all, states, until_blocked
from tests.service.ledger.makers import NOW, new_job
from tests.support.writing import writing


async def test_a_job_that_is_given_more_time_at_this_moment_does_not_expire(ledger: Ledger) -> None:
    if ledger.database.dialect == "sqlite":  # it has one writer
        return
    job = new_job(expires_at=NOW)
    await enqueue_all(ledger, job)
    async with writing(ledger.database) as connection:  # as a request that debounces it does
        await connection.execute(update(jobs).values(expires_at=NOW + timedelta(hours=1)))
        record = partial(record_expired, writer="test", at=NOW, limit=10)
        expiry = asyncio.create_task(ledger.database.run(record))
        await until_blocked(ledger, expiry)
    assert await expiry == []
    assert await states(ledger, job) == ["queued"]
