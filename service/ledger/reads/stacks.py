"""The stacks of running attempts that somebody asked for."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.fact_tables import stack_wishes


class Stack(NamedTuple):
    """Where an attempt was: its frames, outermost first, without the values of variables.

    Without `taken_at` its worker has not answered yet.
    """

    attempt: int
    wished_at: datetime
    taken_at: datetime | None
    stack: str | None


async def latest_stack(connection: AsyncConnection, job_id: str) -> Stack | None:
    """Return the stack that was last asked for; None if nobody has asked."""
    columns = [stack_wishes.c[name] for name in Stack._fields]
    latest = select(*columns).where(stack_wishes.c.job_id == job_id).order_by(stack_wishes.c.attempt.desc()).limit(1)
    row = (await connection.execute(latest)).first()
    return None if row is None else Stack(*row)
