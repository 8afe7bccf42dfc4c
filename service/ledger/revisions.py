"""Tells whether a database is at this version's migrations. Reads them without Alembic: a fifth of the API's start."""

import ast
import asyncio
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, String, column, inspect, literal, select, union_all
from sqlalchemy import table as table_named

from service.ledger.all_tables import tables_of
from service.ledger.database import Database
from service.ledger.indexes import are_whole
from service.ledger.schema import VERSION_TABLE, VERSIONS, Schema


async def is_current(database: Database, schemas: Sequence[Schema] = ()) -> bool:
    """Whether the database has this version's newest migrations, or newer ones: deploys migrate first."""
    known = await asyncio.to_thread(lambda: {table: revisions_in(versions) for table, versions in _chains(schemas)})
    async with database.connect() as connection:
        return await connection.run_sync(_is_current, schemas, known)


@cache
def revisions_in(versions: Path) -> tuple[str, ...]:
    """Return the revisions of a folder of migrations, newest first."""
    next_of = {_named(path, "down_revision"): _named(path, "revision") for path in versions.glob("*.py")}
    oldest_first: list[str] = []
    newest = None
    while newest := next_of.get(newest):
        oldest_first.append(newest)
    return tuple(reversed(oldest_first))


def _named(migration: Path, name: str) -> str | None:
    """Return what a migration assigns to a name."""
    for statement in ast.parse(migration.read_bytes()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            value: str | None = ast.literal_eval(statement.value)
            return value
    raise LookupError(f"{migration} assigns nothing to {name}")


def _chains(schemas: Iterable[Schema]) -> list[tuple[str, Path]]:
    """Return the table and the folder of each chain of migrations."""
    of_features = [(schema.version_table, schema.migrations) for schema in schemas if schema.migrations is not None]
    return [(VERSION_TABLE, VERSIONS), *of_features]


def _is_current(connection: Connection, schemas: Sequence[Schema], known: dict[str, tuple[str, ...]]) -> bool:
    existing = set(inspect(connection).get_table_names())
    wanted = {*known, *(table.name for schema in schemas for table in schema.tables)}
    if not existing.issuperset(wanted):
        return False
    current = _revisions_of(connection, known)
    reached = [_reached(revisions, current.get(version_table)) for version_table, revisions in known.items()]
    if not all(reached):
        return False
    # The indexes of a newer version's tables are not known here.
    return "newer" in reached or are_whole(connection, tables_of(schemas))


def _revisions_of(connection: Connection, version_tables: Iterable[str]) -> dict[str, str]:
    """Read the positions of all chains in one statement: in several, a start would wait for each in turn."""
    each = (
        select(literal(name).label("chain"), column("version_num", String)).select_from(table_named(name))
        for name in version_tables
    )
    return {row.chain: row.version_num for row in connection.execute(union_all(*each))}


def _reached(revisions: tuple[str, ...], current: str | None) -> Literal["head", "newer"] | None:
    """Return how far a chain is; None if migrations are missing."""
    head, *older = revisions
    if current == head:
        return "head"
    return None if current is None or current in older else "newer"
