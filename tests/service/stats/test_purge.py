"""A purged job takes its note along; the counters stay."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, insert, select

from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.stats.tables import counted_jobs, counters
from tests.service.ledger.makers import enqueue, new_job


async def test_notes_go_with_their_jobs_and_no_others_and_counters_stay(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    added = [new_job(state=State.SUCCEEDED, finished_at=now - timedelta(days=days)) for days in (31, 29)]
    await enqueue(ledger, *added)
    notes = [{"job_id": job.id} for job in added]
    await ledger.database.run(lambda connection: connection.execute(insert(counted_jobs), notes))
    count = {"subject": "s", "event": "e", "count": 2}
    await ledger.database.run(lambda connection: connection.execute(insert(counters), [count]))
    await ledger.purge(timedelta(days=30), dry_run=False)
    async with ledger.read() as connection:
        assert (await connection.execute(select(counted_jobs.c.job_id))).scalars().all() == [added[1].id]
        assert (await connection.execute(select(func.count()).select_from(counters))).scalar_one() == 1
