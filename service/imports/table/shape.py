"""The shape of a table: its columns, as an import sees them, and what is unique in it."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Inspector, func, inspect, select, types
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.sql import column, table
from sqlalchemy.sql.expression import Cast, cast, literal

from jobs.csv.columns import Column, ColumnType
from jobs.csv.targets import TargetRefused
from service.import_targets import TableSettings

_BITS = {types.SmallInteger: 16, types.BigInteger: 64, types.Integer: 32}


@dataclass(frozen=True, slots=True)
class Shape:
    """`casts` names, on Postgres, the type of each column that takes text only through a cast."""

    columns: tuple[Column, ...]
    casts: Mapping[str, str]
    primary_key: tuple[str, ...]
    unique: tuple[frozenset[str], ...]


def shape_of(connection: Connection, settings: TableSettings) -> Shape:
    """Inspect a table. Raises `TargetRefused` if it cannot be imported into as the settings say."""
    inspector: Inspector = inspect(connection)
    where = {"schema": settings.in_schema}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # a type that SQLAlchemy does not know takes text
        try:
            found = inspector.get_columns(settings.table, **where)
        except NoSuchTableError:
            raise TargetRefused(f"There is no table {name_of(settings)} in the target's database.") from None
        key = tuple(inspector.get_pk_constraint(settings.table, **where)["constrained_columns"])
        unique: list[Any] = [one["column_names"] for one in inspector.get_unique_constraints(settings.table, **where)]
        unique += [one["column_names"] for one in inspector.get_indexes(settings.table, **where) if _is_whole(one)]
    is_sqlite = connection.dialect.name == "sqlite"
    columns = tuple(_column(one, key, is_sqlite=is_sqlite) for one in found if not one.get("computed"))
    casts = {} if is_sqlite else _casts(connection, settings)
    keys = tuple(frozenset(map(str, names)) for names in unique)
    return Shape(_chosen(columns, settings), casts, key, (frozenset(key), *keys))


def name_of(settings: TableSettings) -> str:
    """Name a table as its operator would."""
    return f"{settings.in_schema}.{settings.table}" if settings.in_schema else settings.table


def reference_to(connection: Connection, settings: TableSettings) -> Cast[Any]:
    """Return what Postgres knows a table by."""
    quote = connection.dialect.identifier_preparer.quote
    full_name = ".".join(quote(part) for part in (settings.in_schema, settings.table) if part)
    return cast(literal(full_name, types.Text), REGCLASS)


def key_for(shape: Shape, on_conflict: str, asked: Sequence[str], settings: TableSettings) -> tuple[str, ...]:
    """Return the columns that find a row. Raises `TargetRefused` unless they are unique together."""
    if on_conflict == "insert":
        return ()
    key = tuple(asked) or settings.key or shape.primary_key
    if not key:
        if on_conflict == "skip":
            return ()
        raise TargetRefused(f"{name_of(settings)} has no primary key. Set key to the columns that find a row.")
    if frozenset(key) not in shape.unique:
        raise TargetRefused(
            f"The columns {', '.join(key)} of {name_of(settings)} are not unique together: without a unique index over"
            " them nothing tells which row is meant."
        )
    return key


def _chosen(columns: tuple[Column, ...], settings: TableSettings) -> tuple[Column, ...]:
    if settings.columns is None:
        return columns
    missing = set(settings.columns) - {one.name for one in columns}
    if missing:
        raise TargetRefused(f"{name_of(settings)} has no column {', '.join(sorted(missing))}, which its target lists.")
    return tuple(one for one in columns if one.name in settings.columns)


def _is_whole(index: Mapping[str, Any]) -> bool:
    """Whether an index covers only columns, and all rows."""
    options = index.get("dialect_options", {})
    is_partial = any(options.get(f"{dialect}_where") is not None for dialect in ("postgresql", "sqlite"))
    return bool(index["unique"]) and not is_partial and None not in index["column_names"]


def _column(found: Mapping[str, Any], key: Sequence[str], *, is_sqlite: bool) -> Column:
    kind = found["type"]
    # SQLite numbers the rows of such a table itself.
    is_numbered = is_sqlite and list(key) == [found["name"]] and str(kind).upper() == "INTEGER"
    has_default = found.get("default") is not None or found.get("identity") is not None or is_numbered
    nullable = bool(found["nullable"]) or is_numbered
    type_ = _type(kind)
    low = high = None
    if type_ == "integer":
        bits = 64 if is_sqlite else next(bits for of_bits, bits in _BITS.items() if isinstance(kind, of_bits))
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return Column(
        found["name"],
        type_,
        is_nullable=nullable,
        is_required=not nullable and not has_default,
        low=low,
        high=high,
        has_zone=bool(getattr(kind, "timezone", False)),
        is_kept_as_text=is_sqlite and type_ in ("decimal", "date"),
    )


def _type(kind: Any) -> ColumnType:
    """Return the type of cells; cells of an unknown type go in as text, for the database to read."""
    of_types: tuple[tuple[Any, ColumnType], ...] = (
        (types.Boolean, "boolean"),
        (types.Integer, "integer"),
        (types.Float, "float"),
        (types.Numeric, "decimal"),
        (types.DateTime, "datetime"),
        (types.Date, "date"),
        (types.JSON, "json"),
    )
    return next((name for of_type, name in of_types if isinstance(kind, of_type)), "text")


def _casts(connection: Connection, settings: TableSettings) -> dict[str, str]:
    """Return the types of the columns that are not text, as Postgres writes them, without their lengths."""
    attribute = table("pg_attribute", *map(column, ("attrelid", "attname", "atttypid", "attnum")), schema="pg_catalog")
    kind = table("pg_type", *map(column, ("oid", "typcategory")), schema="pg_catalog")
    asked = (
        select(attribute.c.attname, func.format_type(attribute.c.atttypid, -1))
        .join_from(attribute, kind, attribute.c.atttypid == kind.c.oid)
        .where(
            attribute.c.attrelid == reference_to(connection, settings),
            attribute.c.attnum > 0,
            cast(kind.c.typcategory, types.Text) != "S",
        )
    )
    return {row[0]: row[1] for row in connection.execute(asked)}
