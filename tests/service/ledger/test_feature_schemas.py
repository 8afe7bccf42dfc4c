"""A feature's tables come to be by `upgrade`, and its migrations are a chain of their own."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect, text

from service.ledger import migrate
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.revisions import is_current, revisions_in
from service.ledger.schema import Schema
from service.settings import Settings

REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}


def upgrade() -> None:
    op.add_column("toys", sa.Column("{column}", sa.Integer()))
"""
FIRST = Table("toys", MetaData(), Column("name", String(10), primary_key=True))
NEWEST = Table(
    "toys", MetaData(), Column("name", String(10), primary_key=True), Column("size", Integer), Column("age", Integer)
)


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "my migrations"
    folder.mkdir()
    (folder / "size.py").write_text(REVISION.format(revision="t1", down=None, column="size"))
    (folder / "age.py").write_text(REVISION.format(revision="t2", down="'t1'", column="age"))
    return folder


async def columns(database: Database) -> set[str]:
    def read(connection: Connection) -> set[str]:
        return {column["name"] for column in inspect(connection).get_columns("toys")}

    async with database.connect() as connection:
        return await connection.run_sync(read)


async def test_tables_of_a_new_feature_are_created_and_missed_until_then(ledger: Ledger, database_url: str) -> None:
    schema = Schema("toys", [FIRST])
    assert not await is_current(ledger.database, [schema])
    for _ in range(2):
        await migrate.upgrade(Settings(database_url=database_url), [schema])
        assert await is_current(ledger.database, [schema])
    assert await columns(ledger.database) == {"name"}


async def test_tables_of_an_earlier_version_are_migrated_with_their_rows(
    ledger: Ledger, database_url: str, migrations: Path
) -> None:
    settings = Settings(database_url=database_url)
    await migrate.upgrade(settings, [Schema("toys", [FIRST])])
    await ledger.database.run(lambda connection: connection.execute(text("INSERT INTO toys VALUES ('bear')")))
    schema = Schema("toys", [NEWEST], migrations)
    assert not await is_current(ledger.database, [schema])
    await migrate.upgrade(settings, [schema])
    assert await is_current(ledger.database, [schema])
    assert await columns(ledger.database) == {"name", "size", "age"}
    async with ledger.read() as connection:
        assert (await connection.execute(text("SELECT name, size, age FROM toys"))).all() == [("bear", None, None)]


async def test_new_tables_have_their_newest_form_at_once_and_later_migrations_follow(
    ledger: Ledger, database_url: str, migrations: Path
) -> None:
    settings = Settings(database_url=database_url)
    schema = Schema("toys", [NEWEST], migrations)
    await migrate.upgrade(settings, [schema])
    assert await is_current(ledger.database, [schema])
    (migrations / "colour.py").write_text(REVISION.format(revision="t3", down="'t2'", column="colour"))
    revisions_in.cache_clear()  # as the next process would see it
    assert not await is_current(ledger.database, [schema])
    await migrate.upgrade(settings, [schema])
    assert await columns(ledger.database) == {"name", "size", "age", "colour"}


async def test_ledger_at_a_newer_version_of_a_feature_or_without_it_is_current(
    ledger: Ledger, database_url: str, migrations: Path
) -> None:
    settings = Settings(database_url=database_url)
    await migrate.upgrade(settings, [Schema("toys", [NEWEST], migrations)])
    (migrations / "age.py").unlink()
    assert await is_current(ledger.database, [Schema("toys", [NEWEST], migrations)])
    await migrate.upgrade(settings)
    assert await is_current(ledger.database)
