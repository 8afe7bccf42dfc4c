"""Which ticks of schedules were recorded."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, FromClause, RowMapping, String, case, func, literal, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.records.ticked import keys_of, recorded
from service.ledger.rows import parameter, unfold
from service.schedule_tables import RUN_NOW
from service.tables import Moment, moment_text, ticks

_OUTCOMES = ("fired", "skipped", "missed")


async def latest_ticks(
    connection: AsyncConnection, names: Sequence[str], at: datetime
) -> Mapping[str, tuple[datetime, str]]:
    """Return (due_at, cron) of each schedule's latest tick up to `at`, leaving out ticks that a user fired out of turn.

    A wrong clock may have left later ticks.
    """
    wanted = parameter([{"name": name, "at": moment_text(at)} for name in names])
    rows = await connection.execute(_latest(connection.dialect.name, in_turn=True), wanted)
    return {row.kind: (row.due_at, row.cron) for row in rows}


async def last_ticks(connection: AsyncConnection, names: Sequence[str], at: datetime) -> Mapping[str, RowMapping]:
    """Return the last tick of each schedule up to `at`, whatever became of it."""
    wanted = parameter([{"name": name, "at": moment_text(at)} for name in names])
    rows = await connection.execute(_latest(connection.dialect.name, in_turn=False), wanted)
    return {row["kind"]: row for row in rows.mappings()}


async def recent_ticks(
    connection: AsyncConnection, names: Sequence[str], at: datetime, number: int
) -> Mapping[str, Sequence[RowMapping]]:
    """Return the last `number` ticks of each schedule up to `at`, latest first."""
    wanted = parameter([{"name": name, "at": moment_text(at)} for name in names])
    found: dict[str, list[RowMapping]] = {name: [] for name in names}
    for row in (await connection.execute(_recent(connection.dialect.name, number), wanted)).mappings():
        found[row["kind"]].append(row)
    return {name: sorted(rows, key=itemgetter("due_at"), reverse=True) for name, rows in found.items()}


async def history(connection: AsyncConnection, name: str, before: datetime | None, limit: int) -> Sequence[RowMapping]:
    """Return a schedule's ticks, latest first."""
    key = tuple_(ticks.c.kind, ticks.c.due_at)
    is_earlier = ticks.c.kind <= name if before is None else key < tuple_(literal(name), literal(before, Moment))
    # As in `_own_ends`: with `kind = name`, Postgres may go through the ticks of all other schedules.
    own = select(ticks).where(is_earlier, ticks.c.kind >= name).order_by(ticks.c.kind.desc(), ticks.c.due_at.desc())
    return (await connection.execute(own.limit(limit))).mappings().all()


async def count_ticks(connection: AsyncConnection, name: str, since: datetime, until: datetime) -> Mapping[str, int]:
    """Count a schedule's ticks by what became of them. Reads all ticks of that time: one a second at most."""
    sums = (func.coalesce(func.sum(case((ticks.c.outcome == one, 1), else_=0)), 0) for one in _OUTCOMES)
    within = (ticks.c.kind == name, ticks.c.due_at > since, ticks.c.due_at <= until)
    counted = (await connection.execute(select(*sums).where(*within))).one()
    return dict(zip(_OUTCOMES, counted, strict=True))


async def recorded_among(
    connection: AsyncConnection, wanted: Sequence[tuple[str, datetime]]
) -> set[tuple[str, datetime]]:
    """Return which of the ticks (schedule, due_at) are recorded."""
    rows = await connection.execute(recorded(connection.dialect.name), keys_of(wanted))
    return {(row.kind, row.due_at) for row in rows}


@cache
def _latest(dialect: str, *, in_turn: bool) -> Any:
    """Seek each schedule's own end of the index: its history may have millions of ticks."""
    wanted = unfold(dialect, "wanted", {"name": String(100), "at": Moment()})
    if dialect == "postgresql":
        return _own_ends(wanted, 1, *([_is_in_turn(ticks)] if in_turn else []))
    earlier = ticks.alias("earlier")
    latest = select(earlier.c.due_at).where(earlier.c.kind == wanted.c.name, earlier.c.due_at <= wanted.c.at)
    if in_turn:
        latest = latest.where(_is_in_turn(earlier))
    due_at = latest.order_by(earlier.c.due_at.desc()).limit(1).scalar_subquery()
    return select(ticks).select_from(wanted).join(ticks, (ticks.c.kind == wanted.c.name) & (ticks.c.due_at == due_at))


def _is_in_turn(of: FromClause) -> ColumnElement[bool]:
    return or_(of.c.reason.is_(None), of.c.reason != RUN_NOW)


# Before any tick.
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def _recent(dialect: str, number: int) -> Any:
    """Seek each schedule's own end of the index, from its `number`th tick on."""
    wanted = unfold(dialect, "wanted", {"name": String(100), "at": Moment()})
    if dialect == "postgresql":
        return _own_ends(wanted, number)
    earlier = ticks.alias("earlier")
    of_name = select(earlier.c.due_at).where(earlier.c.kind == wanted.c.name, earlier.c.due_at <= wanted.c.at)
    first = of_name.order_by(earlier.c.due_at.desc()).offset(number - 1).limit(1).scalar_subquery()
    since = func.coalesce(first, literal(_FIRST, Moment))
    among = (ticks.c.kind == wanted.c.name) & ticks.c.due_at.between(since, wanted.c.at)
    return select(ticks).select_from(wanted).join(ticks, among)


def _own_ends(wanted: FromClause, number: int, *conditions: ColumnElement[bool]) -> Any:
    """Return the last ticks of each schedule in `wanted`, as Postgres reads them off the primary key.

    Asked for `kind = name`, it may go through the index on `due_at` instead, past the ticks of all other schedules: it
    expects one of this schedule soon, and one that has hardly ticked has none. That index has no order by both columns.
    """
    key, end = tuple_(ticks.c.kind, ticks.c.due_at), tuple_(wanted.c.name, wanted.c.at)
    ends = select(ticks).where(key <= end, ticks.c.kind >= wanted.c.name, *conditions)
    own = ends.order_by(ticks.c.kind.desc(), ticks.c.due_at.desc()).limit(number).lateral("own")
    return select(own).select_from(wanted).join(own, true())
