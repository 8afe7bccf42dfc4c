"""Stops the attempts whose jobs somebody has cancelled."""

from service.ledger.ledger import Ledger
from service.ledger.reads.workers import cancel_wishes
from service.ledger.states import Outcome
from service.worker.workload import Workload


class Cancellations:
    """Looks in the ledger for wishes to cancel what this worker runs."""

    def __init__(self, ledger: Ledger, workload: Workload) -> None:
        self._ledger = ledger
        self._workload = workload

    async def watch(self) -> None:
        """Stop what is to be cancelled."""
        if not self._workload.running:
            return
        async with self._ledger.read() as connection:
            wishes = await cancel_wishes(connection, self._workload.worker_id)
        for job_id in wishes:
            if attempt := self._workload.attempt_of(job_id):
                attempt.stop(Outcome.CANCELLED)
