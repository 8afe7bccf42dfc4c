"""Which jobs name which files, recorded in the same transaction as the jobs, so that none of the files is deleted."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, String, delete, select, true

from service.file_tables import file_uses, files
from service.ledger.rows import execute, found_by, insert_for, packed, unfold_lists


def record_uses(connection: Connection, uses: Sequence[tuple[str, str]]) -> None:
    """Record uses of files: (file, job). A file that is gone is left out: the attempt will say so."""
    execute(connection, _insert(connection.dialect.name), packed(uses))


def change_uses(connection: Connection, changed: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Replace the files that jobs use: (job, files)."""
    connection.execute(delete(file_uses).where(file_uses.c.job_id.in_([job_id for job_id, _ in changed])))
    if uses := [(file_id, job_id) for job_id, named in changed for file_id in named]:
        record_uses(connection, uses)


@cache
def _insert(dialect: str) -> Any:
    """Deleting a file locks it first: either it is gone by now, or its deletion sees the use."""
    new = unfold_lists(dialect, "new", {"file_id": String(), "job_id": String()})
    found = (
        select(files.c.id, new.c.job_id)
        .join_from(new, files, found_by(dialect, files.c.id, new.c.file_id))
        .where(true())
    )
    kept = found.order_by(files.c.id).with_for_update(of=files, read=True, key_share=True)
    return insert_for(dialect)(file_uses).from_select(["file_id", "job_id"], kept).on_conflict_do_nothing()
