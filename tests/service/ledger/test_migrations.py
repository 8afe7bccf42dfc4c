from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from service.features import FEATURES
from service.ledger import migrate
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.reads import listing
from service.ledger.reads.workers import running_under
from service.settings import Settings
from service.tables import metadata
from tests.service.ledger.makers import enqueue, live_worker, new_job, start
from tests.support.writing import writing

_METADATA = [metadata, *{table.metadata for feature in FEATURES for table in feature.tables}]


def _differences(connection: Connection) -> object:
    return compare_metadata(MigrationContext.configure(connection), _METADATA)  # type: ignore[arg-type]


# On SQLite nobody can ask for them; on Postgres they are compared too.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_models_and_migrations_agree(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        assert await connection.run_sync(_differences) == []


async def test_upgrading_twice_changes_nothing(ledger: Ledger, database_url: str, tmp_path: object) -> None:
    await migrate.upgrade(Settings(database_url=database_url))
    assert await migrate.is_current(ledger.database)


def _to(connection: Connection, revision: str) -> None:
    config = migrate._config()
    config.attributes["connection"] = connection
    (command.upgrade if revision == "head" else command.downgrade)(config, revision)


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index")
async def test_ledger_goes_back_to_the_first_version_and_up_again_with_its_jobs(ledger: Ledger) -> None:
    waiting, running = new_job(), new_job()
    await live_worker(ledger, "w1")
    await enqueue(ledger, waiting, running)
    assert await start(ledger, running.id, "w1")
    async with writing(ledger.database) as connection:
        await connection.run_sync(_to, "0001")
        await connection.run_sync(_to, "head")
    async with ledger.read() as connection:
        assert await connection.run_sync(_differences) == []
        (orphan_free,) = await running_under(connection, "w1")
        assert (orphan_free["id"], orphan_free["prefetched"]) == (running.id, 0)
    assert await start(ledger, waiting.id, "w1")


async def test_jobs_of_an_earlier_version_are_listed_after_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "earlier.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, kind, state, queue, args, max_attempts, run_at, created_at) "
            "VALUES ('old', 'greet', 'succeeded', 'mail', '{}', 3, '2026-01-01T00:00:00.000000Z', "
            "'2026-01-01T00:00:00.000000Z')"
        )
    engine.dispose()
    url = f"sqlite+aiosqlite:///{path}"
    await migrate.upgrade(Settings(database_url=url, data_dir=tmp_path))
    database = Database.open(url)
    async with database.connect() as connection:
        for wanted in (listing.Filter(), listing.Filter(kinds=("greet",)), listing.Filter(queues=("mail",))):
            assert [row["id"] for row in await listing.list_jobs(connection, wanted, 10)] == ["old"]
    await database.close()
