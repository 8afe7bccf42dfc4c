"""Schedules are made, changed, paused and deleted by users. Each change makes the revision grow."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from service.ledger.records.ticked import Overlap, Tick, record_ticks
from service.ledger.sealed import SCHEDULE_ARGS, vault_of
from service.schedule_tables import schedules

CatchUp = Literal["none", "last", "all"]
# Columns whose change changes the ticks: none of the new ticks counts as missed.
_TIMES = ("cron", "time_zone", "start_at", "end_at")


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule as a user has set it. Args and options are JSON."""

    name: str
    kind: str
    args: str
    sealed_args: str | None
    options: str
    cron: str
    time_zone: str
    catch_up: CatchUp
    overlap: Overlap
    jitter_s: float
    start_at: datetime | None
    end_at: datetime | None


class Pause(NamedTuple):
    """Since when a schedule is paused, by whom, and why, in their words."""

    paused_at: datetime
    paused_by: str | None = None
    paused_reason: str | None = None


def record_schedule(connection: Connection, said: NewSchedule, now: datetime) -> bool:
    """Make or change a schedule; return whether it is new. A paused schedule stays paused."""
    row = _held(connection, said.name)
    values = asdict(said)
    if said.sealed_args is not None:
        values["sealed_args"] = SCHEDULE_ARGS.seal(vault_of(connection), said.sealed_args, said.name)
    if row is None:
        connection.execute(
            insert(schedules).values(**values, since=now, revision=_revision(0, now), created_at=now, updated_at=now)
        )
        return True
    has_same_ticks = row["kind"] is not None and all(row[name] == values[name] for name in _TIMES)
    _change(connection, row, now, **values, since=row["since"] if has_same_ticks else now)
    return row["kind"] is None


def record_schedule_deleted(connection: Connection, name: str) -> bool:
    """Delete a schedule that was made at run time; return whether there was one. The history of its ticks stays."""
    mine = (schedules.c.name == name) & schedules.c.kind.is_not(None)
    return bool(connection.execute(delete(schedules).where(mine)).rowcount)


def record_paused(connection: Connection, name: str, pause: Pause, *, is_of_code: bool) -> bool:
    """Pause a schedule; return whether there is one. A kind's own gets a row when it is first paused.

    A paused schedule stays paused since then; who paused it and why is replaced.
    """
    row, now = _held(connection, name), pause.paused_at
    if row is not None:
        since = {"paused_at": row["paused_at"]} if row["paused"] else {}
        _change(connection, row, now, paused=1, **pause._asdict() | since)
        return True
    if is_of_code:
        times = {"revision": _revision(0, now), "created_at": now, "updated_at": now}
        connection.execute(insert(schedules).values(name=name, paused=1, **pause._asdict(), **times))
    return is_of_code


def record_resumed(
    connection: Connection,
    name: str,
    now: datetime,
    *,
    missed: Callable[[RowMapping], Sequence[Tick]],
    writer: str,
) -> bool:
    """Resume a schedule; return whether it has a row. Its ticks up to now are done with: `missed` ones are recorded."""
    row = _held(connection, name)
    if row is None:
        return False
    if row["paused"]:
        if told := missed(row):
            record_ticks(connection, told, writer=writer, now=now)
        _change(connection, row, now, paused=0, since=now, **dict.fromkeys(Pause._fields))
    return True


def _held(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(select(schedules).where(schedules.c.name == name).with_for_update()).mappings().first()


def _change(connection: Connection, row: RowMapping, now: datetime, **values: Any) -> None:
    connection.execute(
        update(schedules)
        .where(schedules.c.name == row["name"])
        .values(**values, revision=_revision(row["revision"], now), updated_at=now)
    )


def _revision(before: int, now: datetime) -> int:
    """Return a greater revision, by the time: a schedule that is deleted and made again gets another one."""
    return max(before + 1, int(now.timestamp() * 1000))
