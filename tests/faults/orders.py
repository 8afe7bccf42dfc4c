"""What the application of the outbox faults stores besides its outbox, and the verdict on both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from postlude.outbox import table
from sqlalchemy import Column, Connection, MetaData, NullPool, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from service.audit_report import make_report
from service.ledger.reads import jobs as queries
from service.tables import jobs
from tests.faults.system import System
from tests.faults.verdict import all_ended, wrong_with
from tests.support.running import eventually

_METADATA = MetaData()
outbox = table(_METADATA)
orders = Table("orders", _METADATA, Column("job_id", String(36), primary_key=True))


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction in the application's database, committed at the end."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def create(url: str) -> None:
    """Make the application's tables, as far as they are missing."""

    def make(connection: Connection) -> None:
        outbox.create(connection, checkfirst=True)
        orders.create(connection, checkfirst=True)

    async with connected(url) as connection:
        await connection.run_sync(make)


async def placed(url: str) -> set[str]:
    async with connected(url) as connection:
        return set((await connection.execute(select(orders.c.job_id))).scalars())


async def emptied(url: str, within_s: float = 60) -> None:
    """Wait until the outbox is empty."""

    async def is_empty() -> bool:
        async with connected(url) as connection:
            return not (await connection.execute(select(func.count()).select_from(outbox))).scalar_one()

    await eventually(is_empty, within_s)


async def one_job_each(system: System, url: str) -> int:
    """Check that each order that was committed has one job, which has run once, and that there is no other job."""
    await emptied(url)
    await all_ended(system, 90)
    wanted = await placed(url)
    async with system.ledger() as ledger, ledger.read() as connection:
        found = await connection.execute(select(jobs).where(jobs.c.kind == "fault_once"))
        rows = {row["id"]: row for row in found.mappings()}
        attempts = await queries.get_attempts(connection, list(rows))
    assert rows.keys() == wanted
    wrong = [f"{job_id}: {what}" for job_id, row in rows.items() for what in wrong_with(row, attempts[job_id])]
    wrong += [f"{job_id}: no side effect" for job_id in rows.keys() - system.effects().keys()]
    async with system.ledger() as ledger:
        audited = await make_report(ledger)
    wrong += audited.lines() if audited.total else []
    assert not wrong, f"{len(wrong)} of {len(rows)}; see {system.folder}\n" + "\n".join(wrong[:20])
    return len(rows)
