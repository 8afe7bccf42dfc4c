"""Writes of files."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, select, text, update

from jobs.kit.files import StoredFile
from service.file_tables import file_uses, files
from service.files.reads import STORED
from service.ledger.models import IdempotencyKey, KeyHeld
from service.ledger.reads.file_ids import is_used
from service.ledger.records.idempotency import take_keys
from service.ledger.rows import insert_for
from service.ledger.states import State
from service.tables import LIVE_SQL, jobs


class Deleted(NamedTuple):
    """What became of a wish to delete a file: whether its row is gone, or the job that uses it."""

    is_done: bool = False
    used_by: str | None = None


class Maker(NamedTuple):
    """The attempt that makes a file."""

    job_id: str
    attempt: int


def record_uploaded(
    connection: Connection, file: StoredFile, owner: str | None, key: IdempotencyKey | None
) -> KeyHeld | None:
    """Record a file whose bytes are safe. One whose idempotency key belongs to an earlier request is not recorded."""
    if key is not None:
        holder = take_keys(connection, [(key, file.id)])[key.key]
        if holder.job_id != file.id:
            return holder
    _insert(connection, file, owner=owner)
    return None


def record_made(connection: Connection, file: StoredFile, maker: Maker) -> list[str] | None:
    """Record a file that an attempt made, in the place of what earlier ones of the job made by that name.

    Returns the ids of those; None where the attempt was taken away. A file that another job uses stays.
    """
    runs = select(jobs.c.enqueued_by).where(
        jobs.c.id == maker.job_id, jobs.c.attempt == maker.attempt, jobs.c.state == State.RUNNING
    )
    row = connection.execute(runs.with_for_update(key_share=True)).first()
    if row is None:
        return None
    _insert(connection, file, owner=row.enqueued_by, job_id=maker.job_id, attempt=maker.attempt)
    earlier = select(files.c.id).where(
        files.c.job_id == maker.job_id,
        files.c.job_id.is_not(None),
        files.c.name == file.name,
        files.c.attempt < maker.attempt,
    )
    return _delete_unused(connection, list(connection.execute(_locked(earlier)).scalars()))


def record_deleted(connection: Connection, file_id: str, now: datetime, by: str | None = None) -> Deleted:
    """Delete a file, unless a job that may still run names it. What `by` alone names goes when that job has ended."""
    locked = connection.execute(_locked(select(files.c.id).where(files.c.id == file_id))).scalars().all()
    while locked and not _delete_unused(connection, locked):
        # If there is no user by now, the last one has ended between the two statements.
        if (user := connection.execute(_users(file_id, but=by)).scalars().first()) is not None:
            return Deleted(used_by=user)
        if by is not None:
            connection.execute(update(files).where(files.c.id == file_id).values(expires_at=now))
            return Deleted()
    return Deleted(is_done=bool(locked))


def record_expired(connection: Connection, now: datetime, at_most: int) -> list[str]:
    """Delete files past their time that no job needs any more; return their ids."""
    expired = select(files.c.id).where(files.c.expires_at <= now, ~is_used()).limit(at_most)
    return _delete_unused(connection, list(connection.execute(_locked(expired, skip=True)).scalars()))


def _delete_unused(connection: Connection, locked: Sequence[str]) -> list[str]:
    """Delete those of locked files that no live job uses: an enqueue that names them waits for the lock, or had it."""
    if not locked:
        return []
    unused = delete(files).where(files.c.id.in_(locked), ~is_used()).returning(files.c.id)
    gone = list(connection.execute(unused).scalars())
    connection.execute(delete(file_uses).where(file_uses.c.file_id.in_(gone)))
    return gone


def _insert(connection: Connection, file: StoredFile, **more: Any) -> None:
    """Insert a file; one that is there already was sent again because the answer was lost."""
    values = {column.name: value for column, value in zip(STORED, _values(file), strict=True)}
    connection.execute(insert_for(connection.dialect.name)(files).values(**values, **more).on_conflict_do_nothing())


def _values(file: StoredFile) -> tuple[Any, ...]:
    return tuple(getattr(file, column.name) for column in STORED)


def _locked(chosen: Select[Any], *, skip: bool = False) -> Select[Any]:
    """Lock files in the order of their ids, so that no two of these wait for each other."""
    return chosen.order_by(files.c.id).with_for_update(of=files, skip_locked=skip)


def _users(file_id: str, *, but: str | None) -> Select[Any]:
    live = select(jobs.c.id).join(file_uses, file_uses.c.job_id == jobs.c.id)
    users = live.where(file_uses.c.file_id == file_id, text(f"jobs.{LIVE_SQL}")).order_by(jobs.c.id).limit(1)
    return users if but is None else users.where(jobs.c.id != but)
