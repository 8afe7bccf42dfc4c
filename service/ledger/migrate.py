"""Brings the database to this version's tables, with Alembic."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from service.data_dir import make_data_dir
from service.ledger.database import Database
from service.ledger.pooler import refuse_changing_sessions
from service.settings import Settings

# A migration may rewrite a large table, or wait for another process that does.
_LIMIT_S = 3600
_MIGRATIONS = Path(__file__).parent.parent / "migrations"


async def upgrade(settings: Settings) -> None:
    """Apply the migrations that are missing. Raises `LedgerUnavailable`."""
    make_data_dir(settings.data_dir)
    database = Database.open(settings.sqlalchemy_url, limit_s=_LIMIT_S)
    try:
        await refuse_changing_sessions(database)
        await database.run(_upgrade)
    finally:
        await database.close()


async def is_current(database: Database) -> bool:
    """Whether the database is at this version's newest migration, or at a newer one: deploys migrate first."""
    head, *older = await asyncio.to_thread(_revisions)
    async with database.connect() as connection:
        current = await connection.run_sync(_current)
    return current == head or (current is not None and current not in older)


def _revisions() -> list[str]:
    """Return this version's revisions, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # two that migrate at once take turns, as they do on SQLite
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('postlude migrations'))"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
