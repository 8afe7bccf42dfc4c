"""What a look costs does not grow with the backlog: rows are read and deleted by the index on their ids."""

import re
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.outbox.reads import next_rows, sizes
from service.outbox.records import delete_rows
from tests.service.outbox.writing_rows import guest, transaction
from tests.support.plans import plans_of, sent_by

ROWS = 100_000
_FIRST = f"{5:036}"

Call = Callable[[AsyncConnection], Awaitable[object]]
CALLS: dict[str, Call] = {
    "first sizes": lambda connection: sizes(connection, None, 1_000),
    "next sizes": lambda connection: sizes(connection, _FIRST, 1_000),
    "first rows": lambda connection: next_rows(connection, None, 1_000),
    "next rows": lambda connection: next_rows(connection, _FIRST, 1_000),
    "delete": lambda connection: connection.run_sync(_delete),
}


def _delete(connection: Connection) -> object:
    return delete_rows(connection, [f"{number:036}" for number in range(1, 1_001)])


async def filled(url: str) -> None:
    numbers = "generate_series(1, :rows) AS numbers(n)"
    row_id = "lpad(n::text, 36, '0')"
    if url.startswith("sqlite"):
        series = "SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows"
        numbers, row_id = f"(WITH RECURSIVE numbers AS ({series}) SELECT n FROM numbers)", "printf('%036d', n)"
    async with transaction(url) as session:
        insert = f"INSERT INTO postlude_outbox (id, kind, args) SELECT {row_id}, 'note', '{{}}' FROM {numbers}"
        await session.execute(text(insert), {"rows": ROWS})


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["unknown to the planner", "analyzed"])
async def test_no_statement_walks_through_the_backlog(database_url: str, is_analyzed: bool) -> None:
    await filled(database_url)
    if is_analyzed:
        async with transaction(database_url) as session:
            await session.execute(text("ANALYZE"))
    async with guest(database_url) as database:
        bad = {
            name: line
            for name, call in CALLS.items()
            for plan in await _plans(database, call)
            if (line := _walks(plan))
        }
    assert not bad


async def _plans(database: Database, call: Call) -> list[str]:
    sent = await sent_by(database, lambda connection, _now: call(connection))
    assert sent
    deletes = any("set_config" in one.sql for one in sent)  # which the transaction of the plans has not
    return [plan for one in sent for plan in await plans_of(database, one, avoid_walks=deletes)]


def _walks(plan: str) -> str | None:
    """Return the line that reads all rows, or sorts them. (SQLite scans the index for the first rows.)"""
    found = re.search(r"^.*Seq Scan on postlude_outbox|^SCAN postlude_outbox$|^.*TEMP B-TREE|^.*\bSort\b", plan, re.M)
    return found[0] if found else None
