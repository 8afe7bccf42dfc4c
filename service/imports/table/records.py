"""The statements that put rows into one table, as the driver's own text: made once for an import."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Dialect, FromClause, bindparam, cast, func, literal_column, select, types
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import column, table
from sqlalchemy.sql.expression import ClauseElement, ColumnElement

from jobs.csv.columns import Column, ColumnType
from jobs.csv.targets import TargetRefused
from service.import_targets import TableSettings
from service.imports.table.shape import Shape, name_of
from service.ledger.rows import insert_for

# A statement's text with its parameters: one row of arrays, the cells of many rows, or a row for each.
Ready = tuple[str, Any]
# One statement with 250 rows takes SQLite two thirds of the time of 250 statements; more rows gain nothing.
_ROWS_AT_ONCE = 250
_MOST_PARAMETERS = 32_766  # of a statement of SQLite
_ARRAYS_OF: Mapping[ColumnType, types.TypeEngine[Any]] = {
    "text": types.Text(),
    "integer": types.BigInteger(),
    "decimal": types.Numeric(),
    "float": types.Double(),
    "boolean": types.Boolean(),
    "date": types.Text(),
    "datetime": types.Text(),
    "json": types.Text(),
}
# asyncpg would send the ends of the calendar, such as 9999-12-31 for "no end", as infinities.
_ON_POSTGRES: Mapping[ColumnType, Callable[[Any], Any]] = {"date": date.isoformat, "datetime": datetime.isoformat}
# As SQLAlchemy stores them in SQLite, and as other libraries read them.
_ON_SQLITE: Mapping[ColumnType, Callable[[Any], Any]] = {
    "date": str,
    "datetime": lambda moment: datetime.isoformat(moment, " ", "microseconds"),
    "decimal": str,
}


class Statements:
    """Inserts rows into the `columns` of a table, all of a part in one call of the driver."""

    def __init__(
        self,
        dialect: Dialect,
        settings: TableSettings,
        shape: Shape,
        columns: Sequence[Column],
        on_conflict: str,
        key: Sequence[str],
    ) -> None:
        self._dialect = dialect
        self._is_sqlite = dialect.name == "sqlite"
        self._shape = shape
        self._columns = columns
        self._rows_at_once = min(_ROWS_AT_ONCE, _MOST_PARAMETERS // len(columns))
        self.on_conflict = on_conflict
        names = [one.name for one in columns]
        missing = [name for name in key if name not in names]
        if missing:
            raise TargetRefused(
                f"The file has no {', '.join(missing)}, by which rows of {name_of(settings)} are found."
            )
        self._key = tuple(key)
        self._places = [names.index(name) for name in key]
        # For a part in which no two rows share a key.
        self.key_places = self._places if on_conflict == "update" else []
        self._table = table(settings.table, *map(column, names), schema=settings.in_schema)

    def bound(self, values: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return values as the driver takes them."""
        writers = _ON_SQLITE if self._is_sqlite else _ON_POSTGRES
        pairs = [(writers.get(one.type), some) for one, some in zip(self._columns, values, strict=True)]
        return [
            some if write is None else [None if value is None else write(value) for value in some]
            for write, some in pairs
        ]

    def inserts(self, values: Sequence[Sequence[Any]]) -> Iterator[Ready]:
        """Insert rows."""
        if not self._is_sqlite:
            yield self._insert, tuple(map(list, values))
            return
        width, count = len(values), len(values[0])
        cells: list[Any] = [None] * (width * count)
        for at, some in enumerate(values):
            cells[at::width] = some
        rest, size = count % self._rows_at_once, width * self._rows_at_once
        for start in range(0, width * (count - rest), size):
            yield self._insert_many, tuple(cells[start : start + size])
        if rest:
            yield self._insert, list(zip(*(some[-rest:] for some in values), strict=True))

    def known(self, values: Sequence[Sequence[Any]]) -> Ready:
        """Count the rows whose keys already exist."""
        keys = [list(values[place]) for place in self._places]
        return self._known, (to_json(list(zip(*keys, strict=True))).decode(),) if self._is_sqlite else tuple(keys)

    @cached_property
    def _insert(self) -> str:
        return self._inserting(1)

    @cached_property
    def _insert_many(self) -> str:
        return self._inserting(self._rows_at_once)

    def _inserting(self, rows: int) -> str:
        names = [one.name for one in self._columns]
        statement = insert_for(self._dialect.name)(self._table)
        if self._is_sqlite:
            statement = statement.values(
                [{name: bindparam(f"p{row}_{at}") for at, name in enumerate(names)} for row in range(rows)]
            )
        else:
            given, fields = self._given(self._columns)
            statement = statement.from_select(names, select(*fields).select_from(given))
        if self.on_conflict == "skip":
            statement = statement.on_conflict_do_nothing(index_elements=self._key or None)
        elif self.on_conflict == "update":
            changed = [name for name in names if name not in self._key] or names
            statement = statement.on_conflict_do_update(
                index_elements=self._key, set_={name: statement.excluded[name] for name in changed}
            )
        return self._text(statement)

    @cached_property
    def _known(self) -> str:
        if self._is_sqlite:
            given: FromClause = func.json_each(bindparam("keys", type_=types.Text)).table_valued("value", name="given")
            fields: Sequence[ColumnElement[Any]] = [
                func.json_extract(given.c.value, literal_column(f"'$[{number}]'")) for number in range(len(self._key))
            ]
        else:
            given, fields = self._given([self._columns[place] for place in self._places])
        same = [self._table.c[name] == field for name, field in zip(self._key, fields, strict=True)]
        return self._text(select(func.count()).select_from(given).join(self._table, _all(same)))

    def _given(self, columns: Sequence[Column]) -> tuple[FromClause, list[ColumnElement[Any]]]:
        """Return a table of arrays that are sent as parameters, and its fields as the columns take them."""
        arrays = []
        for number, one in enumerate(columns):
            of = ARRAY(_ARRAYS_OF[one.type])
            arrays.append(cast(bindparam(f"p{number}", type_=of), of))
        names = [f"c{number}" for number in range(len(columns))]
        given = func.unnest(*arrays).table_valued(*names, name="given").render_derived()
        return given, [self._as_taken(given.c[name], one) for name, one in zip(names, columns, strict=True)]

    def _as_taken(self, field: ColumnElement[Any], one: Column) -> ColumnElement[Any]:
        if one.type in ("date", "datetime"):
            return cast(field, types.Date() if one.type == "date" else types.TIMESTAMP(timezone=one.has_zone))
        written = self._shape.casts.get(one.name)
        return field if written is None or one.type not in ("text", "json") else cast(field, _Written(written))

    def _text(self, statement: ClauseElement) -> str:
        return str(statement.compile(dialect=self._dialect))


def _all(conditions: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    joined = conditions[0]
    for one in conditions[1:]:
        joined = joined & one
    return joined


class _Written(types.UserDefinedType[Any]):
    """A type by the name that the database itself has given it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_options: Any) -> str:
        return self.name
