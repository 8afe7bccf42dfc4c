"""A purged job takes the mail server's answers about its recipients along."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select

from service.ledger.ledger import Ledger
from service.ledger.states import State
from service.mail.tables import mail_recipients
from tests.service.ledger.makers import enqueue, new_job


async def test_words_go_with_their_jobs_and_no_others(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    added = [new_job(state=State.SUCCEEDED, finished_at=now - timedelta(days=days)) for days in (31, 29)]
    await enqueue(ledger, *added)
    said = {"address": "ann@example.com", "word": "accepted", "answer": ""}
    rows = [{"job_id": job.id, **said} for job in added]
    await ledger.database.run(lambda connection: connection.execute(insert(mail_recipients), rows))
    await ledger.purge(timedelta(days=30), dry_run=False)
    async with ledger.read() as connection:
        assert (await connection.execute(select(mail_recipients.c.job_id))).scalars().all() == [added[1].id]
