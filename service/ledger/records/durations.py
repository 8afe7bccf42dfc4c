"""Histograms of durations, which each process counts by kind for five minutes at a time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Connection, select, true

from service.figure_tables import durations
from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.tables import moment_text

# The name of all kinds together.
ALL_KINDS = ""
# Counts that were merged once must not be written again.
TOLD_WITHIN = timedelta(hours=1)
MERGED_AFTER = timedelta(hours=2)
_BUCKET = timedelta(minutes=5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Histogram(NamedTuple):
    """How many attempts (or jobs) of a kind took how long; see `service/histogram.py`."""

    bucket_at: datetime
    kind: str
    measure: str
    writer: str
    counts: Sequence[int]
    sum_s: float


def bucket_of(at: datetime) -> datetime:
    return at - (at - EPOCH) % _BUCKET


def record_durations(connection: Connection, rows: Sequence[Histogram]) -> None:
    """Record whole histograms, so that a repeated write changes nothing."""
    told = (
        (moment_text(one.bucket_at), one.kind, one.measure, one.writer, to_json(one.counts).decode(), one.sum_s)
        for one in rows
    )
    execute(connection, _set(connection.dialect.name), packed(told))


@cache
def _set(dialect: str) -> Any:
    columns = {column.name: column.type for column in durations.c}
    told = unfold_lists(dialect, "told", columns)
    statement = insert_for(dialect)(durations).from_select(list(columns), select(told).where(true()))
    new = {"counts": statement.excluded["counts"], "sum_s": statement.excluded.sum_s}
    return statement.on_conflict_do_update(index_elements=list(durations.primary_key.columns), set_=new)
