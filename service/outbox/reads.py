"""Reads of an outbox. Any row can be read, whatever is in it: one bad row must not hold up the others."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    cast,
    column,
    func,
    inspect,
    literal,
    select,
    table,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from service.outbox.tables import TRIGGER, outbox, outboxes

# The id of a row. On SQLite it may by mistake not be plain text: then it is given as bytes.
RowId = str | bytes
# The same limit as for a request that enqueues one job.
LARGEST_ROW = 1024 * 1024
MOST_COUNTED = 1_000_000
_LONGEST_KIND = 200


class Row(NamedTuple):
    """A row; text beyond `LARGEST_ROW` is cut off. `created_at` is None if it cannot be read."""

    id: RowId
    kind: str
    args: str
    options: str
    created_at: datetime | None

    @property
    def size(self) -> int:
        return len(self.args) + len(self.options)


class Backlog(NamedTuple):
    """How many rows wait, up to `MOST_COUNTED`, and how long the first has waited."""

    rows: int
    oldest_at: datetime | None


class Standing(NamedTuple):
    """How an outbox in another database was doing when the leader last looked."""

    name: str
    waiting: int
    oldest_at: datetime | None
    problem: str | None
    problem_since: datetime | None


async def sizes(connection: AsyncConnection, beyond: str | None, limit: int) -> Sequence[int]:
    """Return the sizes of the next rows, in bytes: the rows after the id `beyond`, or the first ones."""
    size = _octets(connection, outbox.c.args) + _octets(connection, outbox.c.options)
    found: Sequence[int] = (await connection.execute(_next(select(size), beyond, limit))).scalars().all()
    return found


async def next_rows(connection: AsyncConnection, beyond: str | None, limit: int) -> list[Row]:
    """Read the next rows, in the order of their ids."""
    columns = [
        func.substr(outbox.c.kind, 1, _LONGEST_KIND),
        func.substr(outbox.c.args, 1, LARGEST_ROW + 1),
        func.substr(outbox.c.options, 1, LARGEST_ROW + 1),
        outbox.c.created_at,
    ]
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite:  # the driver raises if text is not UTF-8
        columns = [cast(one, LargeBinary) for one in (outbox.c.id, *columns)]
        columns.append(func.typeof(outbox.c.id))
    else:
        columns = [outbox.c.id, *columns]
    found = await connection.execute(_next(select(*columns), beyond, limit))
    return [_of_sqlite(row) if is_sqlite else _of_postgres(row) for row in found]


async def backlog(connection: AsyncConnection) -> Backlog:
    """Count the rows that wait."""
    some = select(literal(1)).select_from(outbox).limit(MOST_COUNTED).subquery()
    rows = (await connection.execute(select(func.count()).select_from(some))).scalar_one()
    first = await next_rows(connection, None, 1)
    return Backlog(rows, first[0].created_at if first else None)


async def standings(connection: AsyncConnection) -> Sequence[Standing]:
    """Return how the outboxes in other databases are doing."""
    columns = [outboxes.c[name] for name in Standing._fields]
    return [Standing(*row) for row in await connection.execute(select(*columns).order_by(outboxes.c.name))]


async def is_announced(connection: AsyncConnection) -> bool:
    """Whether the trigger that announces new rows exists."""
    triggers = table("pg_trigger", column("tgname"), column("tgrelid"), column("tgenabled"))
    wanted = select(literal(1)).where(
        triggers.c.tgname == TRIGGER,
        triggers.c.tgrelid == func.to_regclass(outbox.name),
        triggers.c.tgenabled != "D",
    )
    return (await connection.execute(wanted)).first() is not None


def missing_columns(connection: Connection) -> set[str]:
    """Return the columns that the table lacks: all of them, if there is no table."""
    known = inspect(connection)
    found = {one["name"] for one in known.get_columns(outbox.name)} if known.has_table(outbox.name) else set()
    return set(outbox.c.keys()) - found


def may_be_emptied(connection: Connection) -> bool:
    """Whether this user may read, lock and delete rows."""
    if connection.dialect.name == "sqlite":
        return True
    rights = [func.has_table_privilege(outbox.name, right) for right in ("SELECT", "UPDATE", "DELETE")]
    return all(connection.execute(select(*rights)).one())


def _next(statement: Select[Any], beyond: str | None, limit: int) -> Select[Any]:
    rest = statement if beyond is None else statement.where(outbox.c.id > beyond)
    return rest.order_by(outbox.c.id).limit(limit)


def _octets(connection: AsyncConnection, text: ColumnElement[Any]) -> ColumnElement[int]:
    return func.length(cast(text, LargeBinary)) if connection.dialect.name == "sqlite" else func.octet_length(text)


def _of_postgres(row: Sequence[Any]) -> Row:
    row_id, kind, args, options, created_at = row
    return Row(row_id, kind, args, options, _aware(created_at))


def _of_sqlite(row: Sequence[Any]) -> Row:
    row_id, *parts, sort = row
    kind, args, options, created_at = [(part or b"").decode(errors="replace") for part in parts]
    is_plain = sort == "text" and row_id.isascii()
    return Row(row_id.decode() if is_plain else row_id, kind, args, options, _read_moment(created_at))


def _read_moment(text: str) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text))
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
