"""Brings the database to this version's tables, with Alembic: the ledger's own, and those of each feature."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from service.data_dir import make_data_dir
from service.ledger.database import Database
from service.ledger.pooler import refuse_changing_sessions
from service.ledger.schema import VERSION_TABLE, Schema
from service.settings import Settings

# A migration may rewrite a large table, or wait for another process that does.
_LIMIT_S = 3600
_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_VERSIONS = _MIGRATIONS / "versions"


async def upgrade(settings: Settings, schemas: Iterable[Schema] = ()) -> None:
    """Apply the migrations that are missing. Raises `LedgerUnavailable`."""
    make_data_dir(settings.data_dir)
    database = Database.open(settings.sqlalchemy_url, limit_s=_LIMIT_S)
    try:
        await refuse_changing_sessions(database)
        await database.run(lambda connection: _upgrade(connection, schemas))
    finally:
        await database.close()


async def is_current(database: Database, schemas: Sequence[Schema] = ()) -> bool:
    """Whether the database is at this version's newest migrations, or at newer ones: deploys migrate first."""
    known = await asyncio.to_thread(lambda: {table: _revisions(versions) for table, versions in _chains(schemas)})
    async with database.connect() as connection:
        return await connection.run_sync(_is_current, schemas, known)


def _upgrade(connection: Connection, schemas: Iterable[Schema]) -> None:
    if connection.dialect.name == "postgresql":  # two that migrate at once take turns, as they do on SQLite
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('postlude migrations'))"))
    _run(command.upgrade, connection, VERSION_TABLE, _VERSIONS)
    for schema in schemas:
        _upgrade_schema(connection, schema)


def _upgrade_schema(connection: Connection, schema: Schema) -> None:
    """Create the tables that are missing. Where there were some already, they are migrated first; else all are new."""
    existing = set(inspect(connection).get_table_names())
    are_new = existing.isdisjoint(table.name for table in schema.tables)
    if schema.migrations is not None:
        step = command.stamp if are_new else command.upgrade
        _run(step, connection, schema.version_table, schema.migrations)
    for table in schema.tables:
        table.create(connection, checkfirst=True)


def _is_current(connection: Connection, schemas: Sequence[Schema], known: dict[str, tuple[str, ...]]) -> bool:
    existing = set(inspect(connection).get_table_names())
    if not existing.issuperset(table.name for schema in schemas for table in schema.tables):
        return False
    return all(_is_at_head(connection, version_table, revisions) for version_table, revisions in known.items())


def _is_at_head(connection: Connection, version_table: str, revisions: tuple[str, ...]) -> bool:
    head, *older = revisions
    context = MigrationContext.configure(connection, opts={"version_table": version_table})
    current = context.get_current_revision()
    return current == head or (current is not None and current not in older)


def _chains(schemas: Iterable[Schema]) -> list[tuple[str, Path]]:
    """Return the table and the folder of each chain of migrations."""
    of_features = [(schema.version_table, schema.migrations) for schema in schemas if schema.migrations is not None]
    return [(VERSION_TABLE, _VERSIONS), *of_features]


@cache
def _revisions(versions: Path) -> tuple[str, ...]:
    """Return this version's revisions, newest first. Alembic runs every file of them to know: 40 ms."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config(versions)).walk_revisions())


def _run(step: Callable[..., Any], connection: Connection, version_table: str, versions: Path) -> None:
    config = _config(versions)
    config.attributes.update(connection=connection, version_table=version_table)
    step(config, "head")


def _config(versions: Path = _VERSIONS) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    return config
