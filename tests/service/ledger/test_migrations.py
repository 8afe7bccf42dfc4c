from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from jobs.tables import metadata as jobs_metadata
from service.ledger import migrate
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.tables import metadata


def _differences(connection: Connection) -> object:
    return compare_metadata(MigrationContext.configure(connection), [metadata, jobs_metadata])  # type: ignore[arg-type]


async def test_models_and_migrations_agree(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_upgrading_twice_changes_nothing(ledger: Ledger, database_url: str, tmp_path: object) -> None:
    await migrate.upgrade(Settings(database_url=database_url))
    assert await migrate.is_current(ledger.database)
