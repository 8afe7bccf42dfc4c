"""Indexes of large tables are built while others write, and an interrupted build is started again."""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from service.errors import LedgerUnavailable
from service.ledger import migrate
from service.ledger.all_tables import metadata
from service.ledger.indexes import REPLACED, build_missing
from service.ledger.ledger import Ledger
from service.ledger.revisions import is_current
from service.settings import Settings
from tests.service.ledger.makers import enqueue, job_row, new_job
from tests.support.running import eventually
from tests.support.writing import writing

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
INDEX = "jobs_by_fingerprint"
TABLES = metadata.tables.values()


async def drop_index(ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(text(f"DROP INDEX {INDEX}"))


async def is_valid(ledger: Ledger, name: str = INDEX) -> bool | None:
    async with ledger.read() as connection:
        found = text("SELECT indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = :name")
        valid: bool | None = (await connection.execute(found, {"name": name})).scalar_one_or_none()
        return valid


async def builder(ledger: Ledger) -> int | None:
    """Return the process that builds the index, once it waits for writers that began before."""
    async with ledger.read() as connection:
        pid: int | None = await connection.scalar(
            text(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                " AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
            )
        )
        return pid


async def test_jobs_are_written_while_an_index_on_them_is_built(ledger: Ledger) -> None:
    await drop_index(ledger)
    first, meanwhile = new_job(), new_job()
    await enqueue(ledger, first)
    async with writing(ledger.database) as connection:
        await connection.execute(text("UPDATE jobs SET priority = 1"))
        building = asyncio.create_task(build_missing(ledger.database, TABLES))
        await eventually(partial(builder, ledger))
        async with asyncio.timeout(30):
            await enqueue(ledger, meanwhile)
        assert not building.done(), "it waits for who began before it, and nobody waits for it"
    await building
    assert await is_valid(ledger)
    assert (await job_row(ledger, meanwhile.id))["priority"] == 0


async def test_a_build_that_was_killed_is_no_current_ledger_and_is_built_again(
    ledger: Ledger, database_url: str, tmp_path: Path
) -> None:
    await drop_index(ledger)
    assert not await is_current(ledger.database)
    await enqueue(ledger, new_job())
    async with writing(ledger.database) as connection:
        await connection.execute(text("UPDATE jobs SET priority = 1"))
        building = asyncio.create_task(build_missing(ledger.database, TABLES))
        pid = await eventually(partial(builder, ledger))
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(LedgerUnavailable):
            await building
    assert await is_valid(ledger) is False
    assert not await is_current(ledger.database)
    await migrate.upgrade(Settings(database_url=database_url, data_dir=tmp_path))
    assert await is_valid(ledger)
    assert await is_current(ledger.database)


async def test_what_was_replaced_is_dropped_once_the_new_one_is_there_and_two_take_turns(ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(text(f"ALTER INDEX {INDEX} RENAME TO {INDEX}{REPLACED}"))
    await asyncio.gather(*(build_missing(ledger.database, TABLES) for _ in range(2)))
    assert await is_valid(ledger)
    assert await is_valid(ledger, f"{INDEX}{REPLACED}") is None
