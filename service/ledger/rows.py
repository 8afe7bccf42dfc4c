"""Many rows in one statement: one JSON parameter, unfolded by the database into a typed table."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import FromClause, Text, bindparam, cast, column, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

_PARAMETER = "rows"


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
    """Give the parameter for a statement made with `unfold`. Moments go in as text (see `tables.moment_text`)."""
    return {_PARAMETER: to_json(rows).decode()}


def insert_for(dialect: str) -> Any:
    """Give the dialect's `insert`, which knows ON CONFLICT in the same words on both."""
    return sqlite.insert if dialect == "sqlite" else postgresql.insert
