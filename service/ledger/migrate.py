"""Brings the database to this version's tables, with Alembic: the ledger's own, and those of each feature."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text

from service.data_dir import make_data_dir
from service.ledger.all_tables import tables_of
from service.ledger.collation import warn_of_slow_collation
from service.ledger.database import Database
from service.ledger.indexes import build_missing
from service.ledger.pooler import refuse_changing_sessions
from service.ledger.schema import MIGRATIONS, VERSION_TABLE, VERSIONS, Schema
from service.settings import Settings

# A migration may rewrite a large table, or wait for another process that does.
_LIMIT_S = 3600


async def upgrade(settings: Settings, schemas: Sequence[Schema] = ()) -> None:
    """Apply the missing migrations, all or none, then build indexes. Raises `LedgerUnavailable`."""
    make_data_dir(settings.data_dir)
    database = Database.open(settings.sqlalchemy_url, limit_s=_LIMIT_S)
    try:
        await refuse_changing_sessions(database)
        await database.run(lambda connection: _upgrade(connection, schemas))
        await build_missing(database, tables_of(schemas))
    finally:
        await database.close()


def _upgrade(connection: Connection, schemas: Iterable[Schema]) -> None:
    if connection.dialect.name == "postgresql":  # simultaneous migrations take turns, as they do on SQLite
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('postlude migrations'))"))
    warn_of_slow_collation(connection)
    _run(command.upgrade, connection, VERSION_TABLE, VERSIONS)
    for schema in schemas:
        _upgrade_schema(connection, schema)


def _upgrade_schema(connection: Connection, schema: Schema) -> None:
    """Create the missing tables. If some exist already, they are migrated first; otherwise all are new."""
    existing = set(inspect(connection).get_table_names())
    are_new = existing.isdisjoint(table.name for table in schema.tables)
    if schema.migrations is not None:
        step = command.stamp if are_new else command.upgrade
        _run(step, connection, schema.version_table, schema.migrations)
    for table in schema.tables:
        table.create(connection, checkfirst=True)


def _run(step: Callable[..., Any], connection: Connection, version_table: str, versions: Path) -> None:
    config = _config(versions)
    config.attributes.update(connection=connection, version_table=version_table)
    step(config, "head")


def _config(versions: Path = VERSIONS) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    return config
