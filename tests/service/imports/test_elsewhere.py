"""Targets in a database that is not the ledger's, and what is left when a job is deleted."""

import json
import sqlite3
from pathlib import Path

import pytest

from jobs.csv.targets import TargetRefused
from service.imports.records import delete_imports
from tests.service.imports.importing import JOB, importer
from tests.support.servers import PostgresServer


async def test_a_database_of_somebody_else_gets_the_tables_with_its_first_import(
    sqlite_template: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        connection.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
    target = {"people": {"table": "people", "url": f"sqlite:///{tmp_path}/app.db"}}
    async with importer(f"sqlite+aiosqlite:///{sqlite_template}", tmp_path, json.dumps(target)) as desk:
        await desk.run("id,name\n1,Ann\nx,Bob\n")
        assert (await desk.run(attempt=2)).failed == 1
    with sqlite3.connect(tmp_path / "app.db") as connection:
        assert connection.execute("SELECT * FROM people").fetchall() == [(1, "Ann")]
        assert connection.execute("SELECT rows_done, failed FROM postlude_imports").fetchall() == [(2, 1)]


async def test_a_role_that_may_make_no_tables_is_told_what_to_run(postgres: PostgresServer, tmp_path: Path) -> None:
    ledger, url = (
        postgres.create_database("imports_a", template="template_postlude"),
        postgres.create_database("imports_b"),
    )
    async with importer(url, tmp_path, "{}") as owner:
        await owner.execute(
            "CREATE TABLE people (id BIGINT, name TEXT)",
            "CREATE ROLE importer LOGIN",
            "GRANT SELECT, INSERT ON people TO importer",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        )
    as_importer = url.replace("postgres@", "importer@")
    target = {"people": {"table": "people", "url": as_importer}}
    assert as_importer != url
    async with importer(ledger, tmp_path, json.dumps(target)) as desk:
        with pytest.raises(TargetRefused, match="postlude imports ddl"):
            await desk.run("id,name\n1,Ann\n")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_import_is_forgotten_with_its_job(database_url: str, tmp_path: Path) -> None:
    async with importer(database_url, tmp_path, '{"people": {"table": "people"}}') as desk:
        await desk.execute("CREATE TABLE people (id BIGINT)")
        await desk.run("id\n1\nx\n")
        await desk.run("id\n2\nx\n", job_id="other")
        await desk.database.run(lambda connection: delete_imports(connection, [JOB]))
        assert await desk.rows("SELECT job_id FROM postlude_imports") == [("other",)]
        assert await desk.rows("SELECT job_id FROM postlude_import_errors") == [("other",)]
