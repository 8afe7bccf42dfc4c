"""Figures of lanes for the pages: how many jobs were started, and when breakers held them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, null, select, true, update

from service.figure_tables import lane_holds, lane_starts
from service.ledger.records.purged import record_rows_purged
from service.ledger.rows import execute, insert_for, packed, unfold_lists
from service.tables import moment_text

STARTS_KEPT = timedelta(hours=2)


class Starts(NamedTuple):
    """How many jobs of a lane a process started within five minutes."""

    lane: str
    bucket_at: datetime
    writer: str
    started: int


def record_lane_starts(connection: Connection, rows: Sequence[Starts]) -> None:
    """Record whole counts, so that a repeated write changes nothing."""
    told = ((one.lane, moment_text(one.bucket_at), one.writer, one.started) for one in rows)
    execute(connection, _set(connection.dialect.name), packed(told))


def record_lane_starts_purged(connection: Connection, before: datetime) -> int:
    """Delete a batch of older rows; return how many."""
    return record_rows_purged(connection, lane_starts, lane_starts.c.bucket_at < before)


def record_held(connection: Connection, key: str, reason: str | None, at: datetime) -> None:
    """Note that a breaker has opened. If it has opened again, the lane has been held since the first time."""
    held = insert_for(connection.dialect.name)(lane_holds).values(key=key, held_at=at, over_at=None, reason=reason)
    since = case((lane_holds.c.over_at.is_(None), lane_holds.c.held_at), else_=held.excluded.held_at)
    new = {"held_at": since, "over_at": null(), "reason": held.excluded.reason}
    connection.execute(held.on_conflict_do_update(index_elements=["key"], set_=new))


def record_hold_over(connection: Connection, keys: Any, at: datetime) -> None:
    """Note that breakers no longer hold their lanes; `keys` are their keys, or a SELECT of them."""
    over = update(lane_holds).where(lane_holds.c.key.in_(keys), lane_holds.c.over_at.is_(None))
    connection.execute(over.values(over_at=at))


@cache
def _set(dialect: str) -> Any:
    columns = {column.name: column.type for column in lane_starts.c}
    told = unfold_lists(dialect, "told", columns)
    statement = insert_for(dialect)(lane_starts).from_select(list(columns), select(told).where(true()))
    new = {"started": statement.excluded.started}
    return statement.on_conflict_do_update(index_elements=list(lane_starts.primary_key.columns), set_=new)
