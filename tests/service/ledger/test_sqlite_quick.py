from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import text

from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.sqlite_quick import QuickConnection

# More than come with a statement.
MANY = 2_500
NUMBERS = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY}) SELECT i FROM n"


@pytest.fixture
async def sqlite(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "one.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = Database.open(f"sqlite+aiosqlite:///{path}")
    async with opened.connect():  # from now on there is a connection
        pass
    yield opened
    await opened.close()


@pytest.fixture
def hops(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note what is done in threads of connections."""
    done: list[Any] = []
    execute = aiosqlite.Connection._execute

    async def note(self: aiosqlite.Connection, work: Any, *args: Any, **options: Any) -> Any:
        done.append(work)
        return await execute(self, work, *args, **options)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", note)
    return done


async def test_a_statement_takes_one_hop_and_the_end_of_the_transaction_another(
    sqlite: Database, hops: list[Any]
) -> None:
    async with sqlite.connect() as connection:
        for number in (1, 2):
            assert (await connection.execute(text("SELECT kind FROM jobs"))).all() == []
            assert len(hops) == number
    assert len(hops) == 3


async def test_all_reads_of_a_transaction_see_one_state(sqlite: Database) -> None:
    insert = "INSERT INTO tallies (writer, kind, event, count, updated_at) VALUES ('w', 'k', 'e', 1, '2026')"
    count = text("SELECT count(*) FROM tallies")
    async with sqlite.connect() as connection:
        assert (await connection.execute(count)).scalar_one() == 0
        await sqlite.run(lambda writing: writing.execute(text(insert)))
        assert (await connection.execute(count)).scalar_one() == 0
    async with sqlite.connect() as connection:
        assert (await connection.execute(count)).scalar_one() == 1


async def test_rows_beyond_those_that_come_with_the_statement_are_fetched(sqlite: Database) -> None:
    async with sqlite.connect() as connection:
        assert (await connection.execute(text(NUMBERS))).scalars().all() == list(range(1, MANY + 1))


async def test_streamed_rows_come_in_pieces(sqlite: Database, hops: list[Any]) -> None:
    async with sqlite.connect(streams=True) as connection, connection.stream(text(NUMBERS)) as rows:
        streamed = [number async for (number,) in rows]
    assert streamed == list(range(1, MANY + 1))
    assert len(hops) > 3


async def test_a_stream_may_be_left_before_its_end(sqlite: Database) -> None:
    async with sqlite.connect(streams=True) as connection:
        async with connection.stream(text(NUMBERS)) as rows:
            assert await anext(aiter(rows)) == (1,)
        assert (await connection.execute(text("SELECT 2"))).scalar_one() == 2


async def test_a_connection_is_of_use_after_a_statement_that_failed(sqlite: Database) -> None:
    with pytest.raises(LedgerUnavailable, match="tables are missing"):
        async with sqlite.connect() as connection:
            await connection.execute(text("SELECT 1 FROM nowhere"))
    async with sqlite.connect() as connection:
        assert (await connection.execute(text("SELECT 2"))).scalar_one() == 2


async def test_a_transaction_without_statements_never_begins(hops: list[Any]) -> None:
    connection = QuickConnection.to(":memory:")
    await connection
    connection.begin_with_next()
    await connection.rollback()
    assert hops == []
    await connection.execute_fetchall("BEGIN")  # it would fail within a transaction
    await connection.close()


async def test_rows_come_in_their_order_however_they_are_fetched() -> None:
    to = QuickConnection.to(":memory:", check_same_thread=False)
    async with to as connection, connection.cursor() as cursor:
        await cursor.execute(NUMBERS)
        fetched: list[Any] = [await cursor.fetchone(), *await cursor.fetchmany(3), await cursor.fetchone()]
        fetched += await cursor.fetchall()
        assert [number for (number,) in fetched] == list(range(1, MANY + 1))
        assert await cursor.fetchone() is None


async def test_a_closed_cursor_leaves_no_statement_in_progress() -> None:
    async with QuickConnection.to(":memory:", check_same_thread=False) as connection:
        cursor = await connection.cursor()
        await cursor.execute(NUMBERS)
        await cursor.close()
        await connection.execute_fetchall("VACUUM")  # it would fail beside one
