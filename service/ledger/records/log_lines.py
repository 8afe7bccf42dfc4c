"""Lines that attempts logged are kept for readers: some lines of each attempt, for as long as the job."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, String, Text, bindparam, delete, select
from sqlalchemy.types import TypeEngine

from service.attempt_lines import KeptLines
from service.fact_tables import log_lines
from service.ledger.rows import execute, found_by, insert_for, packed, unfold_lists
from service.tables import Moment, jobs, moment_text

_COLUMNS: dict[str, TypeEngine[Any]] = {
    "job_id": String(255),
    "attempt": Integer(),
    "number": Integer(),
    "at": Moment(),
    "level": String(8),
    "text": Text(),
    "names": Text(),
}


def record_log_lines(connection: Connection, kept: Sequence[KeptLines]) -> None:
    """Keep lines of jobs that still exist. Safe to repeat."""
    rows = [
        (of_it.job_id, of_it.attempt, line.number, moment_text(line.at), *line[2:])
        for of_it in kept
        for line in of_it.lines
    ]
    if rows:
        execute(connection, _insert(connection.dialect.name), packed(rows))
    gone = [
        {"of": one.job_id, "in": one.attempt, "first": one.left_out[0], "last": one.left_out[1]}
        for one in kept
        if one.left_out is not None
    ]
    if gone:
        connection.execute(_delete(), gone)


@cache
def _insert(dialect: str) -> Any:
    new = unfold_lists(dialect, "new", _COLUMNS)
    source = select(*(new.c[name] for name in _COLUMNS)).join_from(
        new, jobs, found_by(dialect, jobs.c.id, new.c.job_id)
    )
    # On Postgres, this waits for a deletion of the job under way, or the deletion waits and finds the lines. Other
    # writes go on.
    source = source.with_for_update(read=True, key_share=True, of=jobs)
    return insert_for(dialect)(log_lines).from_select(list(_COLUMNS), source).on_conflict_do_nothing()


@cache
def _delete() -> Any:
    return delete(log_lines).where(
        log_lines.c.job_id == bindparam("of"),
        log_lines.c.attempt == bindparam("in"),
        log_lines.c.number.between(bindparam("first"), bindparam("last")),
    )
