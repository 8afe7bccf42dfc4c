"""Counters that survive every process: what each one has enqueued, started and ended, by kind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, select, true

from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.tables import moment_text, tallies

Event = tuple[str, str, str]  # writer, kind, event


def tally(connection: Connection, events: Iterable[Event] | Mapping[Event, int], at: datetime) -> None:
    """Count `events`, or add what is counted already, in the transaction of what they count."""
    if counts := Counter(events):
        rows = packed((*event, count, moment_text(at)) for event, count in sorted(counts.items()))
        execute(connection, _add(connection.dialect.name), rows)


@cache
def _add(dialect: str) -> Any:
    columns = {column.name: column.type for column in tallies.c}
    added = unfold_lists(dialect, "added", columns)
    statement = insert_for(dialect)(tallies).from_select(list(columns), select(added).where(true()))
    return statement.on_conflict_do_update(
        index_elements=["writer", "kind", "event"],
        set_={
            "count": tallies.c.count + statement.excluded["count"],
            "updated_at": statement.excluded.updated_at,
        },
    )
