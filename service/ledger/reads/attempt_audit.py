"""Audits the attempts of every job: they are numbered from 1 without gaps, and each ended one is recorded."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.audit import Unaccounted
from service.ledger.states import State
from service.tables import attempts, jobs
from service.words import counted

# Each page is a statement of its own, and short, so the audit may run beside everything else.
_PAGE = 5_000


async def misnumbered(connection: AsyncConnection) -> AsyncIterator[Unaccounted]:
    """Yield the jobs whose attempts are not as they must be; walks through all jobs by id."""
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
    """Select the wrong jobs of a page; one statement reads jobs and attempts, so both are of the same moment."""
    recorded, highest = func.count(attempts.c.number), func.coalesce(func.max(attempts.c.number), 0)
    # An attempt is written when it ends, so a running job's latest attempt is not there yet.
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
