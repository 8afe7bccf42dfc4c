"""Makes flows for the ledger's tests, and carries them on as workers do."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import select

from service.flow_tables import callback_jobs, followups, job_edges
from service.ledger.callbacks import Template
from service.ledger.ledger import Ledger
from service.ledger.models import Callback, Enqueue, Event, Finished, Followed, NewFlow, NewJob, Released
from service.ledger.records.followups import record_followups
from service.ledger.states import COUNTS_AS_FAILURE, Outcome, State
from service.tables import jobs
from tests.service.ledger.makers import NOW, enqueue, finish, live_worker, new_job, start

OUTCOMES = {State.SUCCEEDED: Outcome.SUCCEEDED, State.FAILED: Outcome.FAILED, State.RETRYING: Outcome.FAILED}


def child(*parents: NewJob | str, **fields: Any) -> NewJob:
    return new_job(after=tuple(one if isinstance(one, str) else one.id for one in parents), **fields)


def callback(event: Event = "end", **fields: Any) -> Callback:
    return Callback(
        event, Template(**{"kind": "greet", "queue": "default", "args": "{}", "max_attempts": 3, **fields}).to_json()
    )


async def end(ledger: Ledger, job: NewJob | str, state: State = State.SUCCEEDED, at: datetime = NOW) -> Finished:
    """Start a job, and end its attempt so."""
    job_id = job if isinstance(job, str) else job.id
    await live_worker(ledger)
    started = await start(ledger, job_id, at=at)
    assert started is not None, "it cannot be started"
    outcome = OUTCOMES[state]
    finished = await ledger.finish(finish(started, outcome, state, failures=int(outcome in COUNTS_AS_FAILURE)))
    assert finished is not None
    return finished


async def enqueue_flow(ledger: Ledger, flow: NewFlow, *new: NewJob) -> Any:
    return await ledger.enqueue(Enqueue(jobs=new, writer="test", flow=flow))


async def follow_up(ledger: Ledger, at: datetime = NOW) -> list[Released]:
    """Follow up until nothing is left."""
    released: list[Released] = []
    followed = Followed(left=True)
    while followed.left:
        followed = await ledger.database.run(partial(record_followups, at=at, writer="test"))
        released += followed.released
    async with ledger.read() as connection:
        assert (await connection.execute(select(followups))).first() is None
    return released


async def states(ledger: Ledger, *of: NewJob) -> list[str]:
    rows = await rows_of(ledger, of)
    return [rows[job.id].state for job in of]


async def rows_of(ledger: Ledger, of: Sequence[NewJob]) -> dict[str, Any]:
    async with ledger.read() as connection:
        found = await connection.execute(select(jobs).where(jobs.c.id.in_([job.id for job in of])))
        return {row.id: row for row in found}


async def edges(ledger: Ledger) -> dict[tuple[str, str], str]:
    async with ledger.read() as connection:
        return {(row.parent, row.child): row.state for row in await connection.execute(select(job_edges))}


async def called(ledger: Ledger, owner: str) -> list[tuple[str, Any]]:
    """Return the events for which an owner was called back, and the rows of the jobs for it, in their order."""
    found = select(callback_jobs.c.event, jobs).join(jobs, jobs.c.id == callback_jobs.c.job_id)
    async with ledger.read() as connection:
        rows = await connection.execute(found.where(callback_jobs.c.owner == owner).order_by(jobs.c.id))
        return [(row.event, row) for row in rows]


async def until_blocked(ledger: Ledger, task: asyncio.Task[Any]) -> None:
    """Wait until a task has ended, or a transaction waits for the lock of another."""
    while not task.done():
        async with ledger.read() as connection:
            waiting = await connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if waiting.scalar_one():
                return
        await asyncio.sleep(0.01)


async def enqueue_all(ledger: Ledger, *new: NewJob) -> None:
    assert (await enqueue(ledger, *new)).created == {job.id for job in new}
