"""Reads of the audit log, all as text, so that the table can be read whatever was done to it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    Row,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit_log.chain import Kept
from service.audit_log.tables import audit_log, audit_log_head
from service.ledger.database import Database
from service.ledger.guards import found_by_state
from service.ledger.states import State
from service.tables import Moment, jobs

PAGE = 1_000
_RFC3339 = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""


class Ends(NamedTuple):
    """Where the log ends according to its head, if it still has one, and to its entries; where these begin."""

    seq: int | None
    hash: str | None
    oldest: int | None
    newest: int | None

    @property
    def head(self) -> str | None:
        """The head as `SEQ:HASH`, to be noted elsewhere."""
        return None if self.seq is None else f"{self.seq}:{readable(self.hash or '')}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for: those done at or after `after` and before `before`, beyond the place `beyond`."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    beyond: tuple[datetime, int] | None = None


async def read_ends(connection: AsyncConnection) -> Ends:
    """Return where the log begins and ends, as of one moment."""
    found = (await connection.execute(ends(connection.dialect.name))).one()
    return Ends._make(map(_decoded, found))


def ends(dialect: str) -> Select[Any]:
    head = audit_log_head.c
    seq = _number_of_sqlite(head.seq) if dialect == "sqlite" else head.seq
    hash_ = _as_text(dialect, head.hash)
    found = select(seq.label("seq"), hash_).where(head.id == 1).subquery()
    one = select(literal(1).label("one")).subquery()
    oldest = select(func.min(audit_log.c.seq)).scalar_subquery()
    newest = select(func.max(audit_log.c.seq)).scalar_subquery()
    wanted = select(found.c.seq, found.c.hash, oldest, newest)
    return wanted.select_from(one.outerjoin(found, literal_column("1") == literal_column("1")))


async def pages(
    database: Database, *, after: int | None = None, through: int | None = None
) -> AsyncIterator[list[Kept]]:
    """Yield entries in order, page by page; each page is a separate read."""
    while True:
        async with database.connect() as connection:
            found = await connection.execute(page_of(database.dialect, after, through))
            page = [_kept(row) for row in found]
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].seq


def page_of(dialect: str, after: int | None, through: int | None) -> Select[Any]:
    page = _all_as_text(dialect).order_by(audit_log.c.seq).limit(PAGE)
    if after is not None:
        page = page.where(audit_log.c.seq > after)
    return page if through is None else page.where(audit_log.c.seq <= through)


async def list_entries(connection: AsyncConnection, wanted: Wanted, limit: int) -> Sequence[Kept]:
    """Return entries, latest action first."""
    return [_kept(row) for row in await connection.execute(entries(connection.dialect.name, wanted, limit))]


async def hashes_of(connection: AsyncConnection, seqs: Sequence[int]) -> dict[int, str]:
    """Return the hashes of the entries that exist, by number."""
    its = audit_log.c
    found = select(its.seq, _as_text(connection.dialect.name, its.hash)).where(its.seq.in_(seqs))
    return {seq: _decoded(hash_) for seq, hash_ in await connection.execute(found)}


def entries(dialect: str, wanted: Wanted, limit: int) -> Select[Any]:
    """Select entries along the index that fits the filter, or along that of all entries."""
    its = audit_log.c
    return _all_as_text(dialect).where(*_conditions(wanted)).order_by(its.at.desc(), its.seq.desc()).limit(limit)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    its = audit_log.c
    named = {its.actor: wanted.actor, its.action: wanted.action, its.target: wanted.target}
    conditions = [column == value for column, value in named.items() if value is not None]
    if wanted.after is not None:
        conditions.append(its.at >= wanted.after)
    if wanted.before is not None:
        conditions.append(its.at < wanted.before)
    if wanted.beyond is not None:
        at, seq = wanted.beyond
        conditions.append(tuple_(its.at, its.seq) < tuple_(literal(at, Moment), seq))
    return conditions


async def last_before(connection: AsyncConnection, before: datetime) -> int | None:
    """Return the last entry recorded before this time whose job has ended; None if there is none.

    The entry of a job that may still run stays: it tells the job that it was written.
    """
    its = audit_log.c
    first_kept = await connection.scalar(select(its.seq).where(its.recorded_at >= before).order_by(its.seq).limit(1))
    needed = select(func.min(its.seq)).join(jobs, jobs.c.id == its.job_id)
    # As in the partial indexes of jobs; jobs in other live states have not run yet.
    states = (State.RUNNING,), (State.SCHEDULED, State.QUEUED, State.RETRYING)
    first_needed = [await connection.scalar(needed.where(found_by_state(*some))) for some in states]
    bounds = [seq for seq in (first_kept, *first_needed) if seq is not None]
    last = select(func.max(its.seq))
    found: int | None = await connection.scalar(last.where(its.seq < min(bounds)) if bounds else last)
    return found


def said(kept: Kept) -> dict[str, Any]:
    """Return an entry as readers see it. What is no longer UTF-8 or JSON is shown as plain text."""
    shown = {name: readable(value) if isinstance(value, str) else value for name, value in kept._asdict().items()}
    return shown | {name: _value(shown[name]) for name in ("origin", "data")}


def readable(text: str) -> str:
    """Escape the bytes that are not UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _value(text: str | None) -> Any:
    try:
        return None if text is None else from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


@cache
def _all_as_text(dialect: str) -> Select[Any]:
    columns = map(audit_log.c.__getitem__, Kept._fields)
    return select(*(column if column.name == "seq" else _as_text(dialect, column) for column in columns))


def _as_text(dialect: str, column: Column[Any]) -> ColumnElement[Any]:
    as_text = _of_sqlite if dialect == "sqlite" else _of_postgres
    return as_text(column).label(column.name)


def _of_sqlite(column: Column[Any]) -> ColumnElement[Any]:
    """A text in SQLite may hold anything: read as text, bytes that are not UTF-8 would fail the whole read.

    A value that is no longer text is found by no search and read as SQLite writes it, even if its bytes are the same.
    """
    text = type_coerce(column, Text)
    is_kept = func.typeof(text).in_((literal_column("'text'"), literal_column("'null'")))
    return cast(case((is_kept, text), else_=func.quote(text)), LargeBinary)


def _number_of_sqlite(column: Column[Any]) -> ColumnElement[Any]:
    """A column for numbers in SQLite may hold anything else, too, which is read as null."""
    return case((func.typeof(column) == literal_column("'integer'"), column))


def _of_postgres(column: Column[Any]) -> ColumnElement[Any]:
    if column.name not in ("at", "recorded_at"):
        return column
    moment = func.timezone("UTC", column)
    # `to_char` shows years BC as if they were AD.
    is_of_time = moment >= literal_column("'0001-01-01'")
    return case((is_of_time, func.to_char(moment, literal_column(_RFC3339))), else_=cast(moment, Text))


def _kept(row: Row[Any]) -> Kept:
    return Kept._make(map(_decoded, row))


def _decoded(value: Any) -> Any:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
