"""Writes of files."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, select, text, update

from jobs.kit.files import StoredFile
from service.file_tables import file_uses, files
from service.files.limits import no_room
from service.files.reads import STORED, total_bytes
from service.ledger.models import IdempotencyKey, KeyHeld
from service.ledger.reads.file_ids import is_used
from service.ledger.records.idempotency import take_keys
from service.ledger.rows import insert_for
from service.ledger.states import State
from service.tables import LIVE_SQL, jobs


class Deleted(NamedTuple):
    """The result of a request to delete a file: whether its row is gone, or the job that uses it."""

    is_done: bool = False
    used_by: str | None = None


class Maker(NamedTuple):
    """The attempt that makes a file."""

    job_id: str
    attempt: int


class Uploaded(NamedTuple):
    """A file whose bytes are stored, who sent it, and the idempotency key of its request."""

    file: StoredFile
    owner: str | None
    key: IdempotencyKey | None


def record_uploads(
    connection: Connection, uploads: Sequence[Uploaded], *, most_in_all: int | None
) -> list[KeyHeld | None]:
    """Record files. Skip those whose idempotency key belongs to an earlier request, and return that key's holder.

    Raises `FilesFull` if all files together would exceed their limit, because others were recorded meanwhile.
    """
    held: dict[str, KeyHeld] = {}
    keyed = [(one.key, one.file.id) for one in uploads if one.key is not None]
    for key, file_id in sorted(keyed, key=lambda one: one[0].key):  # so that no two groups deadlock
        holder = take_keys(connection, [(key, file_id)])[key.key]
        if holder.job_id != file_id:
            held[file_id] = holder
    if new := [one for one in uploads if one.file.id not in held]:
        if most_in_all is not None:
            _check_room(connection, [one.file for one in new], most_in_all)
        rows = [_values(one.file) | {"owner": one.owner} for one in new]
        connection.execute(_inserting(connection.dialect.name), rows)
    return [held.get(one.file.id) for one in uploads]


def _check_room(connection: Connection, new: Sequence[StoredFile], most_in_all: int) -> None:
    if connection.dialect.name == "postgresql":  # else two concurrent uploads would not see each other
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('postlude files'))"))
    standing = total_bytes(connection, but=[file.id for file in new])
    if standing + sum(file.size for file in new) > most_in_all:
        raise no_room(most_in_all)


def record_made(connection: Connection, file: StoredFile, maker: Maker) -> list[str] | None:
    """Record a file that an attempt made. It replaces files of that name from earlier attempts of the job.

    Returns the ids of the replaced files; None if the attempt was taken away. A file that another job uses stays.
    """
    by = maker._asdict()
    row = connection.execute(_making(), by).first()
    if row is None:
        return None
    connection.execute(_inserting(connection.dialect.name), _values(file) | by | {"owner": row.enqueued_by})
    if maker.attempt == 1:
        return []
    return _delete_unused(connection, connection.execute(_made_earlier(), by | {"name": file.name}).scalars().all())


# These two are kept: to build them takes longer than to run them.
@cache
def _making() -> Select[Any]:
    """Lock the job of a maker, as long as its attempt runs."""
    runs = select(jobs.c.enqueued_by).where(
        jobs.c.id == bindparam("job_id"), jobs.c.attempt == bindparam("attempt"), jobs.c.state == State.RUNNING
    )
    return runs.with_for_update(key_share=True)


@cache
def _made_earlier() -> Select[Any]:
    """Lock what earlier attempts of a maker's job made by a name."""
    earlier = select(files.c.id).where(
        files.c.job_id == bindparam("job_id"),
        files.c.job_id.is_not(None),
        files.c.name == bindparam("name"),
        files.c.attempt < bindparam("attempt"),
    )
    return _locked(earlier)


def record_deleted(connection: Connection, file_id: str, now: datetime, by: str | None = None) -> Deleted:
    """Delete a file, unless a job that may still run names it. A file that only `by` names goes when `by` has ended."""
    locked = connection.execute(_locked(select(files.c.id).where(files.c.id == file_id))).scalars().all()
    while locked and not _delete_unused(connection, locked):
        # If no job uses it now, the last one ended between the two statements.
        if (user := connection.execute(_users(file_id, but=by)).scalars().first()) is not None:
            return Deleted(used_by=user)
        if by is not None:
            connection.execute(update(files).where(files.c.id == file_id).values(expires_at=now))
            return Deleted()
    return Deleted(is_done=bool(locked))


def record_expired(connection: Connection, now: datetime, at_most: int) -> list[str]:
    """Delete expired files that no job needs any more; return their ids."""
    expired = select(files.c.id).where(files.c.expires_at <= now, ~is_used()).limit(at_most)
    return _delete_unused(connection, list(connection.execute(_locked(expired, skip=True)).scalars()))


def _delete_unused(connection: Connection, locked: Sequence[str]) -> list[str]:
    """Delete the locked files that no live job uses: an enqueue that names one waits for the lock, or had it."""
    if not locked:
        return []
    unused = delete(files).where(files.c.id.in_(locked), ~is_used()).returning(files.c.id)
    gone = list(connection.execute(unused).scalars())
    connection.execute(delete(file_uses).where(file_uses.c.file_id.in_(gone)))
    return gone


@cache
def _inserting(dialect: str) -> Any:
    """Insert files; one that already exists was sent again because the answer was lost."""
    return insert_for(dialect)(files).on_conflict_do_nothing()


def _values(file: StoredFile) -> dict[str, Any]:
    return {column.name: getattr(file, column.name) for column in STORED}


def _locked(chosen: Select[Any], *, skip: bool = False) -> Select[Any]:
    """Lock files in the order of their ids, so that no two transactions deadlock."""
    return chosen.order_by(files.c.id).with_for_update(of=files, skip_locked=skip)


def _users(file_id: str, *, but: str | None) -> Select[Any]:
    live = select(jobs.c.id).join(file_uses, file_uses.c.job_id == jobs.c.id)
    users = live.where(file_uses.c.file_id == file_id, text(f"jobs.{LIVE_SQL}")).order_by(jobs.c.id).limit(1)
    return users if but is None else users.where(jobs.c.id != but)
