from datetime import timedelta

from sqlalchemy import select

from service.ledger.ledger import Ledger
from service.tables import workers
from tests.service.ledger.makers import NOW, live_worker


async def test_registering_a_worker_again_is_a_success_and_changes_nothing(ledger: Ledger) -> None:
    await live_worker(ledger, at=NOW)
    await live_worker(ledger, at=NOW + timedelta(seconds=1))
    async with ledger.read() as connection:
        [worker] = (await connection.execute(select(workers))).all()
    assert worker.started_at == NOW
