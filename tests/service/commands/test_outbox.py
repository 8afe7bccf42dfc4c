"""`postlude outbox ddl`: what it prints makes a table that the client can write into, and that announces its rows."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from postlude import outbox as client
from sqlalchemy import MetaData, NullPool, create_mock_engine
from sqlalchemy.ext.asyncio import create_async_engine

from service.cli import postlude
from tests.support.servers import PostgresServer


def printed(dialect: str) -> str:
    ran = CliRunner().invoke(postlude, ["outbox", "ddl", "--dialect", dialect])
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_sqlite_takes_it_and_takes_it_again(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "app.db") as connection:
        for _ in range(2):
            connection.executescript(printed("sqlite"))
        connection.execute("INSERT INTO postlude_outbox (id, kind, args) VALUES ('i', 'k', '{}')")
        options, created_at = connection.execute("SELECT options, created_at FROM postlude_outbox").fetchone()
    assert options == "{}"
    assert created_at.endswith("Z")


async def test_postgres_takes_it_and_takes_it_again(postgres: PostgresServer) -> None:
    engine = create_async_engine(postgres.create_database("ddl"), poolclass=NullPool)
    rung = asyncio.Event()
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        for _ in range(2):
            await raw.execute(printed("postgresql"))
        await raw.add_listener("postlude_outbox", lambda *_: rung.set())
        async with engine.begin() as application:
            await client.enqueue(application, "note")
        await asyncio.wait_for(rung.wait(), 10)
        await connection.invalidate()


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_the_client_makes_the_same_table(dialect: str) -> None:
    made: list[Any] = []
    engine = create_mock_engine(f"{dialect}://", lambda one, *_, **__: made.append(one))
    client.table(MetaData()).create(engine, checkfirst=False)
    told = "".join(f"{str(one.compile(dialect=engine.dialect)).strip()};\n" for one in made)
    assert told.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS") == printed(dialect)
