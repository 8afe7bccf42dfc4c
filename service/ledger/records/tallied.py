"""Counters that outlive processes: what each process has enqueued, started and ended, by kind."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select, true

from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.tables import moment_text, tallies

Event = tuple[str, str, str]  # writer, kind, event


def tally(connection: Connection, events: Iterable[Event] | Mapping[Event, int], at: datetime) -> None:
    """Count `events`, or add counts, in the transaction of the counted changes."""
    if counts := Counter(events):
        rows = packed((*event, count, moment_text(at)) for event, count in sorted(counts.items()))
        execute(connection, _add(connection.dialect.name), rows)


@cache
def _add(dialect: str) -> Any:
    added = unfold_lists(dialect, "added", {column.name: column.type for column in tallies.c})
    return add_up(dialect, select(added).where(true()))


def add_up(dialect: str, counts: Select[Any]) -> Any:
    """Build the statement that adds `counts`, rows of `tallies`, each event once."""
    statement = insert_for(dialect)(tallies).from_select([column.name for column in tallies.c], counts)
    return statement.on_conflict_do_update(
        index_elements=["writer", "kind", "event"],
        set_={
            "count": tallies.c.count + statement.excluded["count"],
            "updated_at": statement.excluded.updated_at,
        },
    )
