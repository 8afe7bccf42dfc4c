"""What an entry costs does not grow with the log, nor does a page of a list."""

import re
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit_log.chain import Keys
from service.audit_log.reads import Wanted, ends, entries, hashes_of, page_of
from service.audit_log.records import record_deleted, record_entries, record_pruned
from service.ledger.database import Database
from tests.service.audit_log.logging import AT, entry
from tests.support.plans import Call, fill, plans_of, sent_by
from tests.support.writing import writing

ROWS = 5_000
# Few rows of a name are sorted, by Postgres.
WALKS = re.compile(r"Seq Scan on audit_log\b|^SCAN audit_log$|USE TEMP B-TREE", re.M)


async def filled(database: Database) -> None:
    await fill(database, terminal=2_000, waiting=200)
    log = [entry(f"done-{n}", actor=f"actor {n % 500}", action=f"action {n % 500}") for n in range(ROWS)]
    await database.run(lambda connection: record_entries(connection, log, keys=Keys()))
    if database.dialect == "postgresql":
        async with writing(database) as connection:
            await connection.exec_driver_sql("ANALYZE")


async def _write(connection: AsyncConnection, _now: datetime) -> None:
    await connection.run_sync(record_entries, [entry("done-1"), entry("new")], keys=Keys())


async def _prune(connection: AsyncConnection, _now: datetime) -> None:
    def prune(within: Connection) -> None:
        record_pruned(within, 100, "ann", keys=Keys())
        record_deleted(within, 50)

    await connection.run_sync(prune)


def _list(wanted: Wanted) -> Call:
    return lambda connection, _now: connection.execute(entries(connection.dialect.name, wanted, 51))


CALLS: Mapping[str, Call] = {
    "write": _write,
    "prune": _prune,
    "ends": lambda connection, _now: connection.execute(ends(connection.dialect.name)),
    "page of all": lambda connection, _now: connection.execute(page_of(connection.dialect.name, 500, 10_000)),
    "hashes of a page": lambda connection, _now: hashes_of(connection, list(range(100, 150))),
    "list": _list(Wanted()),
    "list on": _list(Wanted(beyond=(AT, 500))),
    "list of an actor": _list(Wanted(actor="actor 7", after=AT)),
    "list of an action": _list(Wanted(action="action 7", beyond=(AT, 500))),
    "list of a target": _list(Wanted(target="invoice:1", before=AT)),
}


async def test_no_statement_walks_through_the_log(database_url: str) -> None:
    database = Database.open(database_url)
    await filled(database)
    bad = []
    for name, call in CALLS.items():
        for one in await sent_by(database, call):
            plans = await plans_of(database, one)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if WALKS.search(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)
