"""What users may ask of workers: to take no new jobs, or to be shown no more."""

from service.errors import WorkerEnded, WorkerLives, WorkerNotFound
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.reads.worker_views import WorkerState, WorkerView, find_worker
from service.ledger.records.workers import record_drain, record_worker_forgotten


async def drain(ledger: Ledger, worker_id: str) -> WorkerView:
    """Have a worker take no new jobs, until it is stopped. Raises `WorkerNotFound` and `WorkerEnded`."""
    drained = await ledger.database.run(
        lambda connection: record_drain(connection, worker_id=worker_id, at=now_by(connection))
    )
    view = await read_worker(ledger, worker_id)
    if not drained:
        raise WorkerEnded("The worker has ended, and takes no jobs.")
    return view


async def forget(ledger: Ledger, worker_id: str) -> WorkerView:
    """Show a dead worker no more. Raises `WorkerNotFound` and `WorkerLives`."""
    forgotten = await ledger.database.run(
        lambda connection: record_worker_forgotten(connection, worker_id=worker_id, at=now_by(connection))
    )
    view = await read_worker(ledger, worker_id)
    if not forgotten:
        raise WorkerLives(_why_not_forgotten(view))
    return view


def _why_not_forgotten(view: WorkerView) -> str:
    if view.state == WorkerState.SILENT:
        return (
            "The worker is silent, but was not yet declared dead: the leading worker does that within 30 s of its last"
            " heartbeat. Try again then."
        )
    if view.state == WorkerState.ENDED:
        return "The worker ended in order, and leaves the list an hour after its end."
    return "The worker is alive. Only dead workers can be forgotten; stop this one, and it leaves the list by itself."


async def read_worker(ledger: Ledger, worker_id: str) -> WorkerView:
    """Read a worker, whether it is listed or not. Raises `WorkerNotFound`."""
    async with ledger.read() as connection:
        view = await find_worker(connection, worker_id, await ledger.database.now(connection))
    if view is None:
        raise WorkerNotFound(f"There is no worker {worker_id!r}. Its end may be past the retention.")
    return view
