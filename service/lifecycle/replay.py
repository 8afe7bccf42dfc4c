"""Replaying a job: a failed or cancelled job runs again, under its own id."""

from service import agreed_time
from service.lane_rules import in_order
from service.ledger.ledger import Ledger
from service.ledger.models import Followed
from service.ledger.reads import jobs as queries
from service.ledger.records.changed import Change
from service.ledger.states import REPLAYABLE, WAITING
from service.ledger.traits import FOLLOWED
from service.lifecycle.cancel import forbidden
from service.lifecycle.dispatch import Dispatcher
from service.lifecycle.following import Following
from service.lifecycle.runnable import Runnable
from service.queue import Entry


async def replay(
    ledger: Ledger,
    dispatcher: Dispatcher,
    following: Following,
    runnable: Runnable,
    job_id: str,
    *,
    from_start: bool,
    edited: Change | None = None,
) -> None:
    """Replay a job; with `from_start` without what it has kept, with `edited` with other args.

    Raises `JobNotFound`, `StateForbids`, `UniqueKeyTaken`, `ParentFailed`, and what `Runnable.check` does.
    """
    now = agreed_time.now()
    await _check(ledger, runnable, job_id, edited)
    if not await ledger.replay(job_id, now, from_start=from_start, change=edited):
        raise await forbidden(ledger, job_id, "replayed")
    async with ledger.read() as connection:
        row = await queries.get_job(connection, job_id)
    if row is None:
        return
    if row["state"] in WAITING:
        lanes = in_order(row["lane"], row["kind_lane"])
        entry = Entry(job_id, row["kind"], row["queue"], now, row["priority"], lanes, row["lane_limits"])
        await dispatcher.put_anew([entry])
    if row["traits"] & FOLLOWED:
        following.carry_on(Followed(left=True))


async def _check(ledger: Ledger, runnable: Runnable, job_id: str, edited: Change | None) -> None:
    """Refuse a job that could not run. The ledger refuses a missing job, and one that may not be replayed."""
    async with ledger.read() as connection:
        row = await queries.get_job(connection, job_id)
        stored = await queries.stored_args(connection, [job_id])
    if row is not None and row["state"] in REPLAYABLE and job_id in stored:
        # Edited args were checked by the kind when they were read; stored args need not fit any more.
        runnable.check(job_id, row["kind"], row["queue"], None if edited else stored[job_id].whole)
