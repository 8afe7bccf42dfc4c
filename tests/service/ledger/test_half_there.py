"""Databases that are half there: they answer, and do not do all that is asked."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.ledger.write_probe import WriteProbe
from service.settings import Settings
from tests.service.ledger.makers import enqueue, new_job
from tests.support.proxy import proxying
from tests.support.servers import PostgresServer
from tests.support.writing import writing

ROOT = Path(__file__).parents[3]
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url)
    yield opened
    await opened.close()


def touch(connection: Any, rows: Sequence[Any] = ()) -> Sequence[Any]:
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
    return rows


def name_of(url: str) -> str:
    return str(make_url(url).database)


@on_postgres
async def test_a_session_that_has_become_read_only_is_left_for_one_that_writes(
    database: Database, database_url: str, postgres: PostgresServer
) -> None:
    name = name_of(database_url)
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await asyncio.gather(*(database.check() for _ in range(3)))  # sessions that will stay read-only, like a standby's
    with pytest.raises(LedgerUnavailable, match="read-only"):
        await database.transact([(touch, [1])])
    await asyncio.gather(*(database.check() for _ in range(3)))
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert await database.transact([(touch, [1])]) == [[1]]
    await database.run(touch)


@on_postgres
async def test_statements_that_a_migration_made_stale_are_repeated_in_reads_and_writes(database: Database) -> None:
    async def read() -> None:
        async with database.connect() as connection:
            await connection.execute(text("SELECT 1"))
            await connection.execute(text("SELECT job_id, outcome FROM attempts"))

    def write(connection: Any, rows: Sequence[Any] = ()) -> Sequence[Any]:
        touch(connection)
        connection.execute(text("UPDATE attempts SET number = number RETURNING job_id, outcome")).all()
        return rows

    async def alter(kind: str) -> None:
        async with writing(database) as connection:
            await connection.execute(text(f"ALTER TABLE attempts ALTER COLUMN outcome TYPE {kind}"))

    for kind in ("varchar(12)", "varchar(13)", "text"):
        await asyncio.gather(*(read() for _ in range(3)))
        await database.run(write)
        await database.transact([(write, [1])])
        await alter(kind)
        await asyncio.gather(*(read() for _ in range(3)))
        await database.run(write)
        await alter(kind)
        assert await database.transact([(write, [1])]) == [[1]]


@on_postgres
async def test_a_user_without_rights_is_told_what_to_grant(database_url: str, postgres: PostgresServer) -> None:
    name = name_of(database_url)
    postgres.execute(f"CREATE ROLE reader_of_{name} LOGIN")
    url = make_url(database_url).set(username=f"reader_of_{name}").render_as_string(hide_password=False)
    database = Database.open(url)
    with pytest.raises(LedgerUnavailable, match="grant SELECT, INSERT, UPDATE and DELETE on all of them, and USAGE"):
        await database.run(touch)
    await database.close()
    postgres.execute(f"DROP ROLE reader_of_{name}")


@on_postgres
async def test_the_rights_that_the_guide_grants_are_enough(database_url: str, postgres: PostgresServer) -> None:
    name = f"user_of_{name_of(database_url)}"
    postgres.execute(f"CREATE ROLE {name} LOGIN")
    guide = (ROOT / "docs/production.md").read_text()
    grants = re.findall(r"^(?:GRANT|ALTER DEFAULT).* TO postlude;$", guide, re.MULTILINE)
    assert len(grants) == 4
    owner = Database.open(database_url)
    async with writing(owner) as connection:
        for grant in [*grants, "CREATE TABLE of_a_later_version (id BIGSERIAL)"]:
            await connection.exec_driver_sql(grant.replace(" postlude;", f" {name}"))
    url = make_url(database_url).set(username=name).render_as_string(hide_password=False)
    async with Ledger.open(url, retention=timedelta(days=30)) as ledger:
        await enqueue(ledger, new_job(lane="tenant:1"))
        async with writing(ledger.database) as connection:
            await connection.exec_driver_sql("INSERT INTO of_a_later_version DEFAULT VALUES")
    async with writing(owner) as connection:
        await connection.exec_driver_sql(f"DROP OWNED BY {name}")
    await owner.close()
    postgres.execute(f"DROP ROLE {name}")


@on_postgres
async def test_parameters_of_a_url_reach_postgres(database_url: str) -> None:
    url = make_url(database_url).update_query_dict(
        {"sslmode": "disable", "application_name": "shop", "options": "-c search_path=shop", "connect_timeout": "5"}
    )
    given = Settings(database_url=url.render_as_string(hide_password=False)).sqlalchemy_url
    database = Database.open(given)
    async with database.connect() as connection:
        for name, value in (("application_name", "shop"), ("search_path", "shop"), ("statement_timeout", "10s")):
            assert (await connection.execute(text(f"SHOW {name}"))).scalar_one() == value
    await database.close()


@on_postgres
async def test_tls_that_the_server_does_not_have_is_an_outage_and_not_left_out(
    database_url: str, postgres: PostgresServer
) -> None:
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        name = name_of(database_url)
        for mode, is_reached in (("require", False), ("prefer", True)):
            database = Database.open(f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}?sslmode={mode}")
            if is_reached:
                await database.check()
            else:
                with pytest.raises(LedgerUnavailable):
                    await database.check()
            await database.close()


@on_postgres
async def test_of_several_hosts_the_one_that_takes_writes_is_used(
    database_url: str, postgres: PostgresServer, short_dir: Path
) -> None:
    name = name_of(database_url)
    async with proxying(postgres.folder / ".s.PGSQL.5432") as down, proxying(postgres.folder / ".s.PGSQL.5432") as up:
        down.refuse()
        hosts = f"host=127.0.0.1:{down.port}&host=127.0.0.1:{up.port}"
        database = Database.open(f"postgresql+asyncpg://postgres@/{name}?{hosts}")
        await database.run(touch)
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        again = Database.open(f"postgresql+asyncpg://postgres@/{name}?{hosts}")
        with pytest.raises(LedgerUnavailable):  # none does
            await again.run(touch)
        await database.close()
        await again.close()


@on_postgres
async def test_columns_of_another_version_name_the_migration(database: Database) -> None:
    with pytest.raises(LedgerUnavailable, match="postlude migrate"):
        async with database.connect() as connection:
            await connection.execute(text("SELECT colour FROM jobs"))


@on_sqlite
async def test_a_file_that_was_deleted_takes_no_writes_that_nobody_would_find(
    database: Database, database_url: str, sqlite_template: Path
) -> None:
    path = Path(name_of(database_url))
    await database.run(touch)
    await database.check()
    path.unlink()
    with pytest.raises(LedgerUnavailable, match="postlude migrate"):
        await database.run(touch)
    with pytest.raises(LedgerUnavailable, match="postlude migrate"):
        await database.check()
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    path.write_bytes(sqlite_template.read_bytes())
    await database.run(touch)
    await database.check()


@on_sqlite
@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 5000])
async def test_a_damaged_file_is_an_outage_that_says_so(database_url: str, content: bytes) -> None:
    Path(name_of(database_url)).write_bytes(content)
    database = Database.open(database_url)
    for call in (database.run(touch), database.check()):
        with pytest.raises(LedgerUnavailable, match="backup"):
            await call
    await database.close()


@on_sqlite
async def test_a_file_that_may_not_be_written_is_an_outage_that_says_so(database: Database, database_url: str) -> None:
    def read_only(connection: Any, rows: Sequence[Any] = ()) -> Sequence[Any]:
        connection.exec_driver_sql("PRAGMA query_only = on")  # which is refused even to root, the user of these tests
        return touch(connection, rows)

    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        await database.run(read_only)


async def test_readiness_writes_at_most_once_in_some_seconds_however_often_it_is_asked(database: Database) -> None:
    probe = WriteProbe(database)
    written = text("SELECT written_at FROM write_probe")
    await asyncio.gather(*(probe.check() for _ in range(20)))
    async with database.connect() as connection:
        first = (await connection.execute(written)).scalars().all()
    await probe.check()
    async with database.connect() as connection:
        assert (await connection.execute(written)).scalars().all() == first
    assert len(first) == 1


@on_sqlite
async def test_a_locked_database_fails_the_write_probe(database: Database, database_url: str) -> None:
    holder = sqlite3.connect(name_of(database_url), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    probe = WriteProbe(database)
    await database.check()
    with pytest.raises(LedgerUnavailable, match="locked"):
        await probe.check()
    holder.close()
