"""Asking where a running attempt is."""

from service.errors import StackNotFound, StateForbids
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.reads.stacks import Stack, latest_stack
from service.ledger.records.stacks import record_stack_wish


async def ask_for_stack(ledger: Ledger, job_id: str) -> Stack:
    """Ask the worker of a job's attempt for its stack; it answers within a second. Raises `StateForbids`."""
    attempt = await ledger.database.run(
        lambda connection: record_stack_wish(connection, job_id=job_id, at=now_by(connection))
    )
    if attempt is None:
        raise StateForbids("The job is not running, so it has no stack.")
    return await read_stack(ledger, job_id)


async def read_stack(ledger: Ledger, job_id: str) -> Stack:
    """Return the stack that was last asked for. Raises `StackNotFound`."""
    async with ledger.read() as connection:
        found = await latest_stack(connection, job_id)
    if found is None:
        raise StackNotFound("Nobody has asked for the stack of this job: POST to the same address to ask.")
    return found
