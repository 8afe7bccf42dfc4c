"""What the log says about jobs that nothing accounts for."""

from sqlalchemy import insert, update
from structlog.testing import capture_logs

from service.tables import attempts, jobs
from service.worker.keeping.audit_log import AuditLog
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import ago, forgotten
from tests.support.writing import writing


async def test_unaccounted_jobs_are_logged_with_the_reason_once_and_when_it_is_over(desk: Desk) -> None:
    job_id = await forgotten(desk)
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="running", attempt=1))
        ended = {"number": 1, "worker": "w", "outcome": "failed", "started_at": ago(9), "finished_at": ago(8)}
        await connection.execute(insert(attempts).values(job_id=job_id, **ended))
    looking = AuditLog(desk.ledger)
    with capture_logs() as logs:
        await looking.look()
        await looking.look()
        async with writing(desk.ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state="failed"))
        await looking.look()
        await looking.look()
    assert [one["event"] for one in logs] == ["unaccounted_jobs", "unaccounted_jobs_over"]
    assert logs[0]["reasons"] == {job_id: "running as attempt 1, but that attempt has ended"}
