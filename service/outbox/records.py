"""Writes: delete rows of an outbox, and record in the ledger how an outbox in another database is doing."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, LargeBinary, Text, cast, delete, func, select

from service.ledger.rows import ids_parameter, insert_for, is_one_of
from service.outbox.reads import RowId
from service.outbox.tables import CHANNEL, outbox, outboxes


def delete_rows(connection: Connection, ids: Sequence[RowId]) -> set[RowId]:
    """Delete rows, except those that others have locked; return the ids that no longer have a row."""
    texts = [row_id for row_id in ids if isinstance(row_id, str)]
    dialect = connection.dialect.name
    wanted = is_one_of(dialect, outbox.c.id)
    if dialect == "sqlite":
        connection.execute(delete(outbox).where(wanted), ids_parameter(dialect, texts))
        for odd in ids:
            if isinstance(odd, bytes):
                connection.execute(delete(outbox).where(cast(outbox.c.id, LargeBinary) == odd))
        return set(ids)
    # Only for this transaction. Else the planner scans the table, expecting a hundredth of it to match.
    connection.execute(select(func.set_config("enable_seqscan", "off", True)))
    free = select(outbox.c.id).where(wanted).with_for_update(skip_locked=True)
    deleted = connection.execute(delete(outbox).where(wanted, outbox.c.id.in_(free)), ids_parameter(dialect, texts))
    if deleted.rowcount == len(texts):
        return set(ids)
    left = connection.execute(select(outbox.c.id).where(wanted), ids_parameter(dialect, texts)).scalars()
    return set(ids).difference(left)


def announce(connection: Connection, word: str) -> None:
    """Send a notification over the channel that announces rows."""
    connection.execute(select(func.pg_notify(CHANNEL, cast(word, Text))))


def record_standing(
    connection: Connection,
    name: str,
    waiting: int,
    oldest_at: datetime | None,
    problem: str | None,
    problem_since: datetime | None,
) -> None:
    """Record how an outbox is doing."""
    values = {"waiting": waiting, "oldest_at": oldest_at, "problem": problem, "problem_since": problem_since}
    statement = insert_for(connection.dialect.name)(outboxes).values(name=name, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
