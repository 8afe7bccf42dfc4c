"""Troubles as they come, are reported, and go. Each is reported once, whichever process sees it first.

Every `at` is the database's (see `clock.py`).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Update, delete, select, update

from service.alert_tables import alerts
from service.ledger.rows import insert_for

# A trouble that comes back within this time was not over.
OVER_AFTER = timedelta(seconds=30)
# How long alerts are kept once they are over.
_KEPT_FOR = timedelta(days=30)


class Alert(NamedTuple):
    """A trouble that is reported: when it was first seen, and which reports were made."""

    key: str
    seen_at: datetime
    headline: str
    told_at: datetime | None = None
    over_at: datetime | None = None
    job_ids: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.over_at is not None


def record_troubles(connection: Connection, seen: Mapping[str, str], at: datetime, *, is_all: bool = True) -> None:
    """Record the present troubles, as headlines by key; troubles that have not been seen for a while are over.

    Unless that `is_all`, troubles that lasted until now are assumed to go on.
    """
    lasting = alerts.c.over_at.is_(None)
    if not is_all:
        connection.execute(update(alerts).where(lasting).values(seen_last_at=at))
    for key, headline in sorted(seen.items()):
        row = {"key": key, "seen_at": at, "seen_last_at": at, "headline": headline}
        seen_again = update(alerts).where(alerts.c.key == key, lasting).values(seen_last_at=at, headline=headline)
        if not connection.execute(seen_again).rowcount:
            connection.execute(insert_for(connection.dialect.name)(alerts).values(row).on_conflict_do_nothing())
    gone = update(alerts).where(lasting, alerts.c.seen_last_at < at - OVER_AFTER)
    connection.execute(gone.values(over_at=alerts.c.seen_last_at))
    connection.execute(delete(alerts).where(alerts.c.over_at < at - _KEPT_FOR))


def untold(connection: Connection, at: datetime, after: timedelta) -> list[Alert]:
    """Return the unreported troubles that have lasted for `after`, oldest first."""
    rows = select(alerts).where(alerts.c.told_at.is_(None), alerts.c.over_at.is_(None), alerts.c.seen_at <= at - after)
    return _read(connection, rows)


def untold_ends(connection: Connection) -> list[Alert]:
    """Return the reported troubles that are over, and whose end was not reported yet."""
    was_told = alerts.c.told_at.is_not(None) | alerts.c.direct_at.is_not(None)
    return _read(
        connection, select(alerts).where(was_told, alerts.c.over_at.is_not(None), alerts.c.told_over_at.is_(None))
    )


def told_by_jobs(connection: Connection, at: datetime, since: timedelta) -> list[Alert]:
    """Return lasting troubles that jobs were to report at least `since` ago, and that were not reported directly."""
    is_due = alerts.c.told_at <= at - since
    rows = select(alerts).where(is_due, alerts.c.over_at.is_(None), alerts.c.direct_at.is_(None))
    return _read(connection, rows.where(alerts.c.job_ids.is_not(None)))


def record_told(connection: Connection, alert: Alert, job_ids: Sequence[str], at: datetime) -> None:
    """Record the jobs that report a trouble, or its end."""
    column = alerts.c.told_over_at if alert.is_over else alerts.c.told_at
    values = {column: at} if alert.is_over else {column: at, alerts.c.job_ids: json.dumps(list(job_ids))}
    connection.execute(_of(alert).where(column.is_(None)).values(values))


def record_direct(connection: Connection, alert: Alert, at: datetime) -> bool:
    """Claim the direct report of a trouble; return False if another process has claimed it."""
    column = alerts.c.told_over_at if alert.is_over else alerts.c.direct_at
    values = {column: at} if alert.is_over else {column: at, alerts.c.told_at: alert.told_at or at}
    return connection.execute(_of(alert).where(column.is_(None)).values(values)).rowcount == 1


def record_not_told(connection: Connection, alert: Alert) -> None:
    """Give back what `record_direct` claimed, because nobody could be reached."""
    values = (
        {alerts.c.told_over_at: None} if alert.is_over else {alerts.c.direct_at: None, alerts.c.told_at: alert.told_at}
    )
    connection.execute(_of(alert).values(values))


def _of(alert: Alert) -> Update:
    return update(alerts).where(alerts.c.key == alert.key, alerts.c.seen_at == alert.seen_at)


def _read(connection: Connection, rows: Select[Any]) -> list[Alert]:
    found = connection.execute(rows.order_by(alerts.c.seen_at, alerts.c.key).limit(50)).mappings()
    return [
        Alert(
            row["key"],
            row["seen_at"],
            row["headline"],
            row["told_at"],
            row["over_at"],
            tuple(json.loads(row["job_ids"] or "[]")),
        )
        for row in found
    ]
