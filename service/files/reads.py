"""Reads of files."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.files import StoredFile
from service.file_tables import file_uses, files
from service.ledger.reads.file_ids import is_there
from service.tables import LIVE_SQL, jobs

STORED = (
    files.c.id,
    files.c.name,
    files.c.size,
    files.c.content_type,
    files.c.sha256,
    files.c.created_at,
    files.c.expires_at,
)


def find_file(connection: Connection, file_id: str, now: datetime, *, owner: str | None = None) -> StoredFile | None:
    """Find a file that is there, for an `owner` its own alone."""
    asked = {"file_id": file_id, "now": now} | ({} if owner is None else {"owner": owner})
    row = connection.execute(_finding(of_owner=owner is not None), asked).first()
    return None if row is None else stored_file(row)


@cache
def _finding(*, of_owner: bool) -> Select[Any]:
    """Kept, for to build it takes longer than to run it."""
    found = _found(bindparam("now")).where(files.c.id == bindparam("file_id"))
    return found.where(files.c.owner == bindparam("owner")) if of_owner else found


async def list_files(
    connection: AsyncConnection, now: datetime, *, owner: str | None, before: str | None, limit: int
) -> Sequence[Row[Any]]:
    """List unexpired files of one owner or of all, newest first, with how many live jobs use each."""
    found = _found(now).add_columns(files.c.owner, files.c.job_id, count_users().label("users"))
    if owner is not None:
        found = found.where(files.c.owner == owner)
    if before is not None:
        found = found.where(files.c.id < before)
    return (await connection.execute(found.order_by(files.c.id.desc()).limit(limit))).all()


async def find_row(connection: AsyncConnection, file_id: str, now: datetime) -> Row[Any] | None:
    """Find a file as lists show it."""
    found = _found(now).add_columns(files.c.owner, files.c.job_id, count_users().label("users"))
    return (await connection.execute(found.where(files.c.id == file_id))).first()


def count_users() -> ColumnElement[int]:
    """Count the jobs that may still run and name the file."""
    users = select(func.count()).select_from(file_uses).join(jobs, jobs.c.id == file_uses.c.job_id)
    return users.where(file_uses.c.file_id == files.c.id, text(f"jobs.{LIVE_SQL}")).scalar_subquery()


def total_bytes(connection: Connection, *, but: Sequence[str] = ()) -> int:
    """Add up the sizes of all files, except some."""
    total = select(func.coalesce(func.sum(files.c.size), 0)).where(files.c.id.not_in(but))
    return int(connection.execute(total).scalar_one())


async def known_ids(connection: AsyncConnection, ids: Sequence[str]) -> set[str]:
    """Return which of the ids have a row, whether expired or not."""
    return set((await connection.execute(select(files.c.id).where(files.c.id.in_(ids)))).scalars())


def _found(now: datetime | BindParameter[Any]) -> Select[Any]:
    return select(*STORED).where(is_there(now))


def stored_file(row: Row[Any]) -> StoredFile:
    return StoredFile(*row[: len(STORED)])
