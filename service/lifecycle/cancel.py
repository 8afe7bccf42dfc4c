"""Cancelling a job: a waiting one at once, a running one as soon as its worker hears of it."""

from service import agreed_time
from service.errors import JobNotFound, StateForbids
from service.ledger.ledger import Ledger
from service.ledger.reads import jobs as queries
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.queue import NO_CLAIM_MS, Release


async def cancel(ledger: Ledger, dispatcher: Dispatcher, following: Following, job_id: str, *, writer: str) -> None:
    """Cancel a job. Raises `JobNotFound`, and `StateForbids` for one that has ended."""
    cancelled = await ledger.cancel(job_id, writer, agreed_time.now())
    if cancelled is None:
        raise await forbidden(ledger, job_id, "cancelled")
    following.carry_on(cancelled.followed)
    if cancelled.lanes:
        # A claim removes its id some day, but until it is due, a strict lane would wait for it.
        await dispatcher.release([Release(cancelled.member, cancelled.lanes, claim_ms=NO_CLAIM_MS)])


async def forbidden(ledger: Ledger, job_id: str, verb: str) -> JobNotFound | StateForbids:
    """Make the error for an action that the ledger refused."""
    async with ledger.read() as connection:
        state = (await queries.states_of(connection, [job_id])).get(job_id)
    if state is None:
        return JobNotFound(f"There is no job {job_id!r}. It may be past its retention.")
    return StateForbids(f"The job is {state[0]}: it cannot be {verb}.")
