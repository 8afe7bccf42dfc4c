"""How migrations declare indexes on tables that may be large. On Postgres they are built later; see `indexes.py`."""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import text

from service.ledger.indexes import REPLACED


def create_later(name: str, table: str, columns: Sequence[Any], where: str, *, unique: bool = False) -> None:
    """Create a partial index that the tables name; on Postgres after all migrations."""
    if not _is_postgres():
        create(name, table, columns, where, unique=unique)


def replace_later(name: str, table: str, columns: Sequence[Any], where: str, *, unique: bool = False) -> None:
    """Replace the index of the same name; on Postgres the old one stays until the new one is built."""
    if _is_postgres():
        op.execute(f"ALTER INDEX {name} RENAME TO {name}{REPLACED}")
    else:
        op.drop_index(name, table_name=table)
        create(name, table, columns, where, unique=unique)


def create(name: str, table: str, columns: Sequence[Any], where: str, *, unique: bool = False) -> None:
    """Create a partial index at once, even if others have to wait."""
    op.create_index(name, table, columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


def _is_postgres() -> bool:
    return op.get_context().dialect.name == "postgresql"
