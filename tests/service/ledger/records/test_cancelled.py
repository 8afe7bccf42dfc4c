from service.ledger.ledger import Ledger
from service.ledger.records.cancelled import Cancelled
from service.ledger.states import State
from tests.service.ledger.makers import NOW, enqueue, new_job


async def test_waiting_job_is_cancelled_at_once_and_terminal_job_not_at_all(ledger: Ledger) -> None:
    job = new_job()
    await enqueue(ledger, job)
    assert await ledger.cancel(job.id, "test", NOW) == Cancelled(State.CANCELLED, job.id)
    assert await ledger.cancel(job.id, "test", NOW) is None
