"""Many rows in one statement: a JSON parameter that the database unfolds into a typed table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    CursorResult,
    Dialect,
    FromClause,
    String,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

_PARAMETER = "rows"
_IDS = "ids"


def unfold(dialect: str, name: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Build the table `name` of `columns`, filled from the statement's one parameter (see `parameter`)."""
    if dialect == "sqlite":
        item = func.json_each(bindparam(_PARAMETER, type_=Text)).table_valued("value", name=f"{name}_json")
        extracted = [
            func.json_extract(item.c.value, f"$.{key}", type_=kind).label(key) for key, kind in columns.items()
        ]
        return select(*extracted).select_from(item).subquery(name)
    json_rows = cast(bindparam(_PARAMETER, type_=Text), JSONB)
    fields = [column(key, kind) for key, kind in columns.items()]
    return func.jsonb_to_recordset(json_rows).table_valued(*fields).render_derived(name=name, with_types=True)


def parameter(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the parameter for a statement made with `unfold`. Moments go in as text (see `tables.moment_text`)."""
    return {_PARAMETER: to_json(rows).decode()}


def unfold_lists(dialect: str, name: str, columns: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """Build the same for rows that are lists in the order of `columns` (see `packed`).

    SQLite unfolds lists in two thirds of the time of objects; objects may omit nulls.
    """
    if dialect == "sqlite":
        item = func.json_each(bindparam(_PARAMETER, type_=Text)).table_valued("value", name=f"{name}_json")
        fields = [
            func.json_extract(item.c.value, literal_column(f"'$[{index}]'"), type_=kind).label(key)
            for index, (key, kind) in enumerate(columns.items())
        ]
    else:
        json_rows = cast(bindparam(_PARAMETER, type_=Text), JSONB)
        item = func.jsonb_array_elements(json_rows).table_valued(column("value", JSONB), name=f"{name}_json")
        texts = [item.c.value.op("->>")(literal_column(str(index))) for index in range(len(columns))]
        # A cast would shorten text that is too long for its column, where an INSERT refuses it.
        fields = [
            (text if isinstance(kind, String) else cast(text, kind)).label(key)
            for text, (key, kind) in zip(texts, columns.items(), strict=True)
        ]
    return select(*fields).select_from(item).subquery(name)


def packed(rows: Iterable[Sequence[Any]]) -> str:
    """Write rows for a statement made with `unfold_lists`. Moments go in as text (see `tables.moment_text`)."""
    return to_json(list(rows)).decode()


def execute(connection: Connection, statement: ClauseElement, rows: str) -> CursorResult[Any]:
    """Execute a statement made with `unfold_lists`, as the driver's own text.

    SQLAlchemy's way from a statement to the driver takes as long as a dozen rows take the database. The caller must
    keep `statement`, because its text is cached.
    """
    return connection.exec_driver_sql(_written(statement, connection.dialect).text, (rows,))


def execute_with(connection: Connection, statement: ClauseElement, parameters: Mapping[str, Any]) -> CursorResult[Any]:
    """Do what `execute` does, for a statement with any parameters. Rows come as the driver gives them."""
    text, names, own, processors = _written(statement, connection.dialect)
    values = {**own, **parameters}
    for name, process in processors.items():
        values[name] = process(values[name])
    return connection.exec_driver_sql(text, tuple([values[name] for name in names]))


class _Written(NamedTuple):
    """A statement's text, its parameters in order, the values that it brings, and how others become the driver's."""

    text: str
    names: tuple[str, ...]
    own: Mapping[str, Any]
    processors: Mapping[str, Callable[[Any], Any]]


@cache
def _written(statement: ClauseElement, dialect: Dialect) -> _Written:
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiled, SQLCompiler)
    named = {name: bind for bind, name in compiled.bind_names.items()}
    processors = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in named.items()}
    return _Written(
        str(compiled),
        tuple(compiled.positiontup or ()),
        {name: bind.value for name, bind in named.items() if not bind.required},
        {name: process for name, process in processors.items() if process is not None},
    )


def found_by(
    dialect: str,
    key: ColumnElement[Any],
    told: ColumnElement[Any],
    *rest: tuple[ColumnElement[Any], ColumnElement[Any]],
) -> ColumnElement[bool]:
    """Join a table with an unfolded one, looking each row up in the index on `key`.

    With `=`, Postgres may as well walk through the whole table and hash the unfolded one. A plan from when the table
    was small stays in use until the next ANALYZE, however large the table has become. With ANY it can neither hash nor
    merge, whatever it estimates; nor with a range, which serves for the `rest` of an index's columns. (Up to version
    16, Postgres may read all rows of the first column for an ANY on the second.)
    """
    if dialect == "sqlite":
        return and_(key == told, *(one == other for one, other in rest))
    return and_(key == any_(postgresql.array([told])), *(one.between(other, other) for one, other in rest))


def look_up(
    dialect: str, name: str, columns: Sequence[Column[Any]], by: Mapping[Column[Any], ColumnElement[Any]]
) -> tuple[FromClause, ColumnElement[bool]]:
    """Return the table to join and the condition: for each row so far, the rows whose keys equal its columns in `by`.

    With `found_by`, Postgres may still walk through a table that it takes for tiny if the other side is itself a join:
    it materializes that join and compares it with each row. A LATERAL with an OFFSET is always looked up.
    """
    if dialect == "sqlite":
        table = select(*columns, *by).subquery(name)
        return table, and_(*(table.c[key.name] == told for key, told in by.items()))
    told = [key == one for key, one in by.items()]
    return select(*columns).where(*told).offset(literal_column("0")).lateral(name), true()


def is_one_of(dialect: str, asked: ColumnElement[str], name: str = _IDS) -> ColumnElement[bool]:
    """Ask for rows whose column is one of the statement's ids: one statement for any number. See `ids_parameter`.

    For statements that are executed often, because SQLAlchemy compiles an `in_` again each time.

    Not as a join with an unfolded table: Postgres may then walk through a whole partial index, which it always takes
    for small.
    """
    if dialect == "sqlite":
        return asked.in_(select(func.json_each(bindparam(name, type_=Text)).table_valued("value").c.value))
    # asyncpg knows TEXT[]. About VARCHAR[] it asks the database, once on each connection: longer than most statements.
    return asked == any_(bindparam(name, type_=postgresql.ARRAY(Text)))


def ids_parameter(dialect: str, ids: Iterable[str], name: str = _IDS) -> dict[str, Any]:
    """Return the parameter for a statement made with `is_one_of`."""
    return {name: to_json(list(ids)).decode() if dialect == "sqlite" else list(ids)}


def json_rows(dialect: str, columns: Iterable[ColumnElement[Any]]) -> ColumnElement[str]:
    """Return rows as one JSON text, a list of lists; null or an empty list if there are none."""
    if dialect == "sqlite":
        return func.json_group_array(func.json_array(*columns), type_=Text)
    return cast(func.json_agg(func.json_build_array(*columns)), Text)


def insert_for(dialect: str) -> Any:
    """Return the dialect's `insert`; both have the same API for ON CONFLICT."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert
