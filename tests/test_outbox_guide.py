"""What docs/outbox.md shows works as it says: its Python, its SQL and its command."""

import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from postlude import outbox
from pydantic import BaseModel
from sqlalchemy import MetaData, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from jobs import Context, job
from service.cli import postlude
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import PostgresServer

TABLE = outbox.table(MetaData())
GUIDE = (Path(__file__).parent.parent / "docs" / "outbox.md").read_text()


class Welcome(BaseModel):
    email: str


@job("send_welcome")
async def send_welcome(_ctx: Context, args: Welcome) -> str:
    return args.email


@asynccontextmanager
async def transaction(url: str) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(create_async_engine(url, poolclass=NullPool)) as session, session.begin():
        yield session


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def shown(number: int) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(blocks("python")[number], names)
    return names


async def states(url: str) -> dict[str, str]:
    async with transaction(url) as session:
        rows = await session.execute(text("SELECT args, state FROM jobs"))
        return {row.args: row.state for row in rows}


@on_sqlite
async def test_what_the_guide_enqueues_runs(settings: Settings, database_url: str) -> None:
    async with transaction(database_url) as session:
        job_id = await shown(0)["place_order"](session, "eve@example.com")
    engine = create_engine(database_url.replace("+aiosqlite", ""))
    with Session(engine) as own, own.begin():
        shown(1)["import_orders"](own)
    engine.dispose()

    async def have_run() -> bool:
        found = await states(database_url)
        return found == {
            '{"email":"eve@example.com"}': "scheduled",
            '{"email":"ann@example.com"}': "succeeded",
            '{"email":"bob@example.com"}': "succeeded",
        }

    async with running_worker(settings, catalogue_of(send_welcome)):
        await eventually(have_run)
    assert len(job_id) == 36


async def test_the_sql_of_the_guide_inserts_a_row(postgres: PostgresServer) -> None:
    url = postgres.create_database("outbox_guide")
    [statement] = blocks("sql")
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(TABLE.create)
        await connection.exec_driver_sql(statement)
        [row] = (await connection.execute(TABLE.select())).all()
    await engine.dispose()
    assert (row.kind, row.args, row.options) == ("send_welcome", '{"email": "ann@example.com"}', "{}")


def test_the_command_of_the_guide_prints_sql() -> None:
    [command] = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    ran = CliRunner().invoke(postlude, command[1:])
    assert ran.exit_code == 0
    assert ran.output.startswith("CREATE TABLE")


@pytest.mark.parametrize("column", TABLE.c.keys())
def test_every_column_is_in_the_guide(column: str) -> None:
    assert f"| `{column}` |" in GUIDE
