"""Entries are chained in the order of their commits, one for each job, even with concurrent writers."""

import asyncio

import pytest
from sqlalchemy import Executable, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from service.audit_log.capability import LedgerAuditLog
from service.audit_log.chain import GENESIS, Keys
from service.audit_log.records import HeadGone
from service.audit_log.tables import audit_log, audit_log_head
from service.ledger.ledger import Ledger
from tests.service.audit_log.logging import entry, rows, say
from tests.support.writing import writing


async def test_entries_of_many_workers_are_one_chain_without_gaps(ledger: Ledger) -> None:
    logs = [LedgerAuditLog(ledger.database, Keys()) for _ in range(5)]
    written = await asyncio.gather(*(logs[n % 5].write(entry(f"j{n % 150}")) for n in range(300)))
    kept = await rows(ledger)
    assert [row.seq for row in kept] == list(range(1, 151))
    assert [row.previous_hash for row in kept] == [GENESIS, *(row.hash for row in kept[:-1])]
    assert {(one.seq, one.hash) for one in written} == {(row.seq, row.hash) for row in kept}
    async with ledger.read() as connection:
        head = (await connection.execute(select(audit_log_head))).one()
    assert (head.seq, head.hash) == (150, kept[-1].hash)


async def test_an_entry_that_a_database_refuses_fails_alone(ledger: Ledger) -> None:
    log = LedgerAuditLog(ledger.database, Keys())
    bad = entry("bad", action="a" * 300) if ledger.database.dialect == "postgresql" else entry("bad", actor=None)  # type: ignore[arg-type]
    outcomes = await asyncio.gather(
        *(log.write(one) for one in (entry("j1"), bad, entry("j2"))), return_exceptions=True
    )
    assert [isinstance(one, DBAPIError) for one in outcomes] == [False, True, False]
    assert [row.job_id for row in await rows(ledger)] == ["j1", "j2"]


async def test_the_table_refuses_changes_and_deletions(ledger: Ledger) -> None:
    await say(ledger, "j1", "j2")
    kept = await rows(ledger)
    refused: list[Executable] = [
        update(audit_log).values(actor="mallory"),
        update(audit_log).where(audit_log.c.seq == 2).values(seq=3),
        delete(audit_log).where(audit_log.c.seq == 1),
        delete(audit_log),
        insert(audit_log).values(dict(kept[0]._mapping)),
    ]
    if ledger.database.dialect == "postgresql":
        refused.append(text("TRUNCATE audit_log"))
    else:
        refused.append(text("INSERT OR REPLACE INTO audit_log SELECT * FROM audit_log WHERE seq = 1"))
    for statement in refused:
        with pytest.raises(DBAPIError):
            async with writing(ledger.database) as connection:
                await connection.execute(statement)
    assert await rows(ledger) == kept


async def test_nothing_is_appended_where_nobody_knows_the_end(ledger: Ledger) -> None:
    await say(ledger, "j1")
    async with writing(ledger.database) as connection:
        await connection.execute(delete(audit_log_head))
    with pytest.raises(HeadGone, match="audit-log verify"):
        await say(ledger, "j2")
