"""Audits the attempts of every job: numbered from 1 without holes, all that have ended and no other."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.audit import Unaccounted
from service.ledger.states import State
from service.tables import attempts, jobs
from service.words import counted

# Each page is a statement of its own: none is long, so it may run beside everything else.
_PAGE = 5_000


async def misnumbered(connection: AsyncConnection) -> AsyncIterator[Unaccounted]:
    """Return the jobs whose attempts are not as they must be; walks all jobs, by id."""
    beyond = ""
    while (last := await _end_of_page(connection, beyond)) is not None:
        for row in await connection.execute(_wrong(beyond, last)):
            yield Unaccounted(row.id, _reason(row))
        beyond = last


async def _end_of_page(connection: AsyncConnection, beyond: str) -> str | None:
    ids = select(jobs.c.id).where(jobs.c.id > beyond).order_by(jobs.c.id).limit(_PAGE).subquery()
    last: str | None = (await connection.execute(select(func.max(ids.c.id)))).scalar_one()
    return last


def _wrong(beyond: str, last: str) -> Any:
    """Find the wrong ones in a page; jobs and attempts are read in one statement, so as of one moment."""
    recorded, highest = func.count(attempts.c.number), func.coalesce(func.max(attempts.c.number), 0)
    # An attempt is written when it has ended: of a running job all but the latest are.
    ended: ColumnElement[int] = jobs.c.attempt - case((jobs.c.state == State.RUNNING, 1), else_=0)
    return (
        select(jobs.c.id, jobs.c.state, jobs.c.attempt, recorded.label("recorded"))
        .outerjoin(attempts, attempts.c.job_id == jobs.c.id)
        .where(jobs.c.id > beyond, jobs.c.id <= last)
        .group_by(jobs.c.id, jobs.c.state, jobs.c.attempt)
        .having(or_(recorded != ended, highest != ended))
    )


def _reason(row: Any) -> str:
    recorded = f"{counted(row.recorded, 'ended attempt')} {'is' if row.recorded == 1 else 'are'} recorded"
    return f"{row.state} after attempt {row.attempt}, but {recorded}"
