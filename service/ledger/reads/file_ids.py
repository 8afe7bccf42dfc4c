"""Which files exist for a new job to name, and which files a job has named and made."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, exists, literal, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.file_tables import file_uses, files
from service.ledger.rows import ids_parameter, is_one_of
from service.tables import LIVE_SQL, jobs


def is_used() -> ColumnElement[bool]:
    """Ask whether a job that may still run names the file."""
    return exists(
        select(file_uses.c.job_id)
        .join(jobs, jobs.c.id == file_uses.c.job_id)
        .where(file_uses.c.file_id == files.c.id, text(f"jobs.{LIVE_SQL}"))
    )


def is_there(now: datetime | BindParameter[Any]) -> ColumnElement[bool]:
    """Ask for files that have not expired, or that a job still needs."""
    return (files.c.expires_at > now) | is_used()


async def ids_there(
    connection: AsyncConnection, ids: Collection[str], now: datetime, *, owner: str | None = None
) -> set[str]:
    """Return which of the files exist; for an `owner`, only its own."""
    dialect = connection.dialect.name
    found = select(files.c.id).where(is_one_of(dialect, files.c.id), is_there(now))
    if owner is not None:
        found = found.where(files.c.owner == owner)
    return set((await connection.execute(found, ids_parameter(dialect, ids))).scalars())


class FileOfJob(NamedTuple):
    """A file that a job names in its args, or has `made`."""

    id: str
    name: str
    made: bool


async def files_of(connection: AsyncConnection, job_id: str, now: datetime, limit: int) -> Sequence[FileOfJob]:
    """List the existing files of a job: the ones its args name, then the ones it made."""
    of_files = select(files.c.id, files.c.name).where(is_there(now))
    named = of_files.add_columns(literal(value=False).label("made")).where(
        files.c.id.in_(select(file_uses.c.file_id).where(file_uses.c.job_id == job_id))
    )
    made = of_files.add_columns(literal(value=True).label("made")).where(files.c.job_id == job_id)
    both = named.union_all(made).order_by("made", "id").limit(limit)
    return [FileOfJob(*row) for row in await connection.execute(both)]
