"""Counters that survive every process: what each one has enqueued, started and ended, by kind."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, select, true

from service.ledger.rows import insert_for, parameter, unfold
from service.tables import moment_text, tallies


def tally(connection: Connection, events: Iterable[tuple[str, str, str]], at: datetime) -> None:
    """Count `events` of (writer, kind, event), in the transaction of what they count."""
    counts: dict[tuple[str, str, str], int] = {}
    for event in events:
        counts[event] = counts.get(event, 0) + 1
    if counts:
        rows = [
            {"writer": writer, "kind": kind, "event": event, "count": count, "updated_at": moment_text(at)}
            for (writer, kind, event), count in sorted(counts.items())
        ]
        connection.execute(_add(connection.dialect.name), parameter(rows))


@cache
def _add(dialect: str) -> Any:
    columns = {column.name: column.type for column in tallies.c}
    added = unfold(dialect, "added", columns)
    statement = insert_for(dialect)(tallies).from_select(list(columns), select(added).where(true()))
    return statement.on_conflict_do_update(
        index_elements=["writer", "kind", "event"],
        set_={
            "count": tallies.c.count + statement.excluded["count"],
            "updated_at": statement.excluded.updated_at,
        },
    )
