"""Imports into one table at the same moment."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs import Retry
from service.import_targets import TableSettings
from service.imports.table import turns
from service.imports.table.turns import wait_for_turn
from tests.service.imports.importing import importer

_ROWS = 4_000


def _shuffled(seed: int) -> str:
    numbers = list(range(_ROWS))
    random.Random(seed).shuffle(numbers)
    return "id,name\n" + "".join(f"{number},of {seed}\n" for number in numbers)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_imports_with_the_same_keys_in_another_order_do_not_end_one_another(
    database_url: str, tmp_path: Path, is_elsewhere: bool
) -> None:
    place = {"url": f"{database_url}&application_name=elsewhere"} if is_elsewhere else {}
    targets = json.dumps({"people": {"table": "people", **place}})

    async def run(seed: int) -> int:
        (tmp_path / str(seed)).mkdir()
        async with importer(database_url, tmp_path / str(seed), targets) as desk:
            result = await desk.run(_shuffled(seed), job_id=f"job-{seed}", on_conflict="update", batch_size=1_000)
            assert result.failed == 0
            return result.inserted

    async with importer(database_url, tmp_path, "{}") as desk:
        await desk.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
        await asyncio.gather(*map(run, range(3)))
        assert await desk.rows("SELECT count(*) FROM people") == [(_ROWS,)]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_an_import_whose_turn_does_not_come_says_for_what_it_waits_and_is_tried_again(
    database_url: str, tmp_path: Path, is_elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAITS_S", 1)
    place = {"url": f"{database_url}&application_name=elsewhere"} if is_elsewhere else {}
    async with importer(database_url, tmp_path, json.dumps({"people": {"table": "people", **place}})) as desk:
        await desk.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
        async with desk.database.session() as other:
            connection = await other.connection()
            settings = TableSettings(url=None, table="people")
            await connection.run_sync(wait_for_turn, settings, alone=True)
            for dry_run in (True, False):
                with pytest.raises(Retry, match=r"Other imports into the same table .* It will be tried again"):
                    await desk.run("id,name\n1,Ann\n", dry_run=dry_run)
        assert (await desk.run(attempt=2)).inserted == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_rows_wait_for_locks_as_long_as_the_database_lets_them_and_not_as_long_as_a_turn(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_WAITS_S", 1)
    async with importer(database_url, tmp_path, json.dumps({"people": {"table": "people"}})) as desk:
        await desk.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)", "INSERT INTO people VALUES (1)")
        async with desk.database.session() as other:
            await other.execute(text("SELECT * FROM people FOR UPDATE"))
            importing = asyncio.create_task(desk.run("id,name\n1,Ann\n", on_conflict="update"))
            await asyncio.wait({importing}, timeout=2)
            assert not importing.done()
        assert (await importing).updated == 1


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("strict", ["0", "3s"])
async def test_after_its_turn_has_come_an_import_has_the_lock_timeout_of_its_user(
    database_url: str, tmp_path: Path, strict: str
) -> None:
    async with importer(database_url, tmp_path, "{}") as desk:
        await desk.execute("CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
        async with desk.database.session() as session:
            await session.execute(text(f"SET LOCAL lock_timeout = '{strict}'"))
            connection = await session.connection()
            await connection.run_sync(wait_for_turn, TableSettings(url=None, table="people"), alone=False)
            assert await session.scalar(text("SHOW lock_timeout")) == strict
