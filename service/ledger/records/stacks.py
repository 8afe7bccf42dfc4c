"""Somebody asks where a running attempt is, and its worker answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update

from service.fact_tables import stack_wishes
from service.ledger.guards import state_is
from service.ledger.rows import insert_for
from service.ledger.states import State
from service.tables import jobs


class TakenStack(NamedTuple):
    """Where an attempt stood."""

    job_id: str
    attempt: int
    stack: str


def record_stack_wish(connection: Connection, job_id: str, at: datetime) -> int | None:
    """Ask for the stack of a job's attempt, again if it was asked for before; return the attempt's number.

    Returns None if the job does not run.
    """
    running = select(jobs.c.attempt, jobs.c.worker).where(jobs.c.id == job_id, state_is(State.RUNNING))
    row = connection.execute(running).first()
    if row is None:
        return None
    wish = insert_for(connection.dialect.name)(stack_wishes).values(
        job_id=job_id, attempt=row.attempt, worker=row.worker, wished_at=at
    )
    anew = {"worker": row.worker, "wished_at": at, "taken_at": None, "stack": None}
    connection.execute(wish.on_conflict_do_update(index_elements=["job_id", "attempt"], set_=anew))
    attempt: int = row.attempt
    return attempt


def record_stacks(connection: Connection, taken: Sequence[TakenStack], at: datetime) -> None:
    """Answer wishes. Safe to repeat."""
    for one in taken:
        asked = (stack_wishes.c.job_id == one.job_id) & (stack_wishes.c.attempt == one.attempt)
        connection.execute(update(stack_wishes).where(asked).values(taken_at=at, stack=one.stack))
