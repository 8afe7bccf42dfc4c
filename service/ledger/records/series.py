"""Totals up to now, by kind and event, are written into the row of the minute."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, case, select, true

from service.figure_tables import event_counts, levels
from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.tables import moment_text


def record_totals(connection: Connection, totals: Mapping[tuple[str, str], int], minute: datetime) -> None:
    """Record all-time totals in the row of this minute. Totals only grow, so a repeated write changes nothing."""
    rows = ((kind, event, moment_text(minute), total) for (kind, event), total in sorted(totals.items()))
    execute(connection, _raise_totals(connection.dialect.name), packed(rows))


def record_levels(connection: Connection, values: Mapping[str, float], at: datetime) -> None:
    """Record levels; if two processes look at the same moment, the later write wins."""
    rows = ((name, moment_text(at), value) for name, value in sorted(values.items()))
    execute(connection, _set_levels(connection.dialect.name), packed(rows))


@cache
def _raise_totals(dialect: str) -> Any:
    statement = _insert_of(dialect, event_counts)
    new, known = statement.excluded.total, event_counts.c.total
    higher = case((new > known, new), else_=known)
    return statement.on_conflict_do_update(
        index_elements=list(event_counts.primary_key.columns), set_={"total": higher}
    )


@cache
def _set_levels(dialect: str) -> Any:
    statement = _insert_of(dialect, levels)
    return statement.on_conflict_do_update(
        index_elements=list(levels.primary_key.columns), set_={"value": statement.excluded.value}
    )


def _insert_of(dialect: str, table: Any) -> Any:
    columns = {column.name: column.type for column in table.c}
    told = unfold_lists(dialect, "told", columns)
    return insert_for(dialect)(table).from_select(list(columns), select(told).where(true()))
