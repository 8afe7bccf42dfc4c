"""Asking where a running attempt stands."""

from service.errors import StackNotFound, StateForbids
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.reads.stacks import Stack, latest_stack
from service.ledger.records.stacks import record_stack_wish


async def ask_for_stack(ledger: Ledger, job_id: str) -> Stack:
    """Ask the worker of a job's attempt where it stands; it answers within a second. Raises `StateForbids`."""
    attempt = await ledger.database.run(
        lambda connection: record_stack_wish(connection, job_id=job_id, at=now_by(connection))
    )
    if attempt is None:
        raise StateForbids("The job does not run, so it stands nowhere.")
    return await read_stack(ledger, job_id)


async def read_stack(ledger: Ledger, job_id: str) -> Stack:
    """Return the stack that was asked for last. Raises `StackNotFound`."""
    async with ledger.read() as connection:
        found = await latest_stack(connection, job_id)
    if found is None:
        raise StackNotFound("Nobody has asked where this job stands: POST to the same address does.")
    return found
