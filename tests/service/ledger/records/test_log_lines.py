"""Log lines live exactly as long as their job."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import Connection, func, select

from service.attempt_lines import KeptLine, KeptLines
from service.fact_tables import log_lines
from service.ledger.ledger import Ledger
from service.ledger.records.log_lines import record_log_lines
from service.ledger.records.purged import delete_jobs
from tests.service.ledger.makers import NOW, enqueue, new_job
from tests.support.running import eventually
from tests.support.writing import writing

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


async def ended_job(ledger: Ledger) -> str:
    job = new_job()
    await enqueue(ledger, job)
    await ledger.cancel(job.id, "test", NOW)
    return job.id


def keep_line(connection: Connection, job_id: str) -> None:
    record_log_lines(connection, [KeptLines(job_id, 1, [KeptLine(1, NOW, "info", "hello", None)])])


async def count_lines(ledger: Ledger) -> int:
    async with ledger.read() as connection:
        counted: int = (await connection.execute(select(func.count()).select_from(log_lines))).scalar_one()
        return counted


async def waits_for_a_lock(ledger: Ledger) -> bool:
    async with ledger.read() as connection:
        found = await connection.exec_driver_sql(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return found.first() is not None


async def test_lines_go_with_their_job_and_none_come_after_it(ledger: Ledger) -> None:
    job_id = await ended_job(ledger)
    await ledger.database.run(partial(keep_line, job_id=job_id))
    assert await count_lines(ledger) == 1
    await ledger.database.run(partial(delete_jobs, ids=[job_id], belongings=()))
    await ledger.database.run(partial(keep_line, job_id=job_id))
    assert await count_lines(ledger) == 0


@on_postgres
async def test_lines_that_come_while_their_job_is_being_deleted_are_not_kept(ledger: Ledger) -> None:
    job_id = await ended_job(ledger)
    async with writing(ledger.database) as deleting:
        await deleting.run_sync(delete_jobs, [job_id], ())
        keeping = asyncio.create_task(ledger.database.run(partial(keep_line, job_id=job_id)))
        await eventually(partial(waits_for_a_lock, ledger))
    await keeping
    assert await count_lines(ledger) == 0


@on_postgres
async def test_a_job_that_is_deleted_while_lines_come_takes_them_along(ledger: Ledger) -> None:
    job_id = await ended_job(ledger)
    async with writing(ledger.database) as keeping:
        await keeping.run_sync(keep_line, job_id)
        deleting = asyncio.create_task(ledger.database.run(partial(delete_jobs, ids=[job_id], belongings=())))
        await eventually(partial(waits_for_a_lock, ledger))
    await deleting
    assert await count_lines(ledger) == 0
