"""What files cost does not grow with how many there are, nor with the history of jobs."""

import re
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service.file_tables import file_uses, files
from service.files.reads import find_file, find_row, known_ids, list_files
from service.files.records import Maker, record_deleted, record_expired, record_made
from service.ledger.database import Database
from service.ledger.reads.file_ids import files_of, ids_there
from service.ledger.records.file_uses import change_uses, record_uses
from tests.support.plans import Call, fill, plans_of, sent_by
from tests.support.writing import writing

COUNT = 3_000
SOME = [f"file-{n}" for n in range(1, 100)]


async def _make(connection: AsyncConnection, now: datetime) -> object:
    """Make what an attempt made before; the attempt runs in the history of `fill`."""
    found = await connection.run_sync(find_file, SOME[0], now)
    assert found is not None
    return await connection.run_sync(partial(record_made, file=found, maker=Maker("runs-1", 1)))


CALLS: dict[str, Call] = {
    "find": lambda connection, now: connection.run_sync(find_file, SOME[0], now),
    "look at": lambda connection, now: find_row(connection, SOME[0], now),
    "list": lambda connection, now: list_files(connection, now, owner=None, before=None, limit=51),
    "list own": lambda connection, now: list_files(connection, now, owner="key:1", before="file-5", limit=51),
    "check (99)": lambda connection, now: ids_there(connection, SOME, now),
    "of a job": lambda connection, now: files_of(connection, "runs-1", now, 50),
    "known (99)": lambda connection, now: known_ids(connection, SOME),
    "use (99)": lambda connection, now: connection.run_sync(record_uses, [(one, "waits-1") for one in SOME]),
    "use others": lambda connection, now: connection.run_sync(change_uses, [("waits-1", tuple(SOME))]),
    "delete": lambda connection, now: connection.run_sync(record_deleted, SOME[0], now),
    "delete own": lambda connection, now: connection.run_sync(record_deleted, SOME[2], now, "waits-4"),
    "expire": lambda connection, now: connection.run_sync(record_expired, now, 200),
    "make": _make,
}


async def test_no_statement_about_files_walks_through_all_of_them(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=2_000, waiting=200)
    await _fill_files(database)
    bad = {}
    for name, call in CALLS.items():
        for one in await sent_by(database, call):
            for plan in await plans_of(database, one, avoid_walks=True):
                if re.search(r"Seq Scan on (files|file_uses|jobs)|SCAN (files|file_uses|jobs)(?! USING)", plan):
                    bad[name] = f"{one.sql}\n{plan}"
    await database.close()
    assert not bad, "\n\n".join(f"{name}: {plan}" for name, plan in bad.items())


async def _fill_files(database: Database) -> None:
    async with database.connect() as connection:
        now = await database.now(connection)
    rows = [
        {
            "id": f"file-{n}",
            "name": "a",
            "size": 1,
            "content_type": "text/plain",
            "sha256": "0",
            "created_at": now,
            "expires_at": now + timedelta(hours=1 if n % 10 else -1),
            "owner": "key:1" if n % 2 else None,
            "job_id": "runs-1" if n == 1 else None,
            "attempt": 0 if n == 1 else None,
        }
        for n in range(COUNT)
    ]
    uses = [{"file_id": f"file-{n}", "job_id": f"{'done' if n % 3 else 'waits'}-{n % 150 + 1}"} for n in range(COUNT)]
    async with writing(database) as connection:
        await connection.execute(insert(files), rows)
        await connection.execute(insert(file_uses), uses)
