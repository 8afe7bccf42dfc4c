"""Imports as jobs of a real worker: into a table and to a kind, from a stored file."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from jobs import job
from jobs.csv import import_csv
from service.files.opening import library_of
from service.settings import Settings
from tests.service.files.putting import put
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, running_worker
from tests.support.writing import writing

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@job("take_people")
async def take_people(rows: list[dict[str, Any]], first: int, file: str) -> list[str]:
    return [f"{first + number} {row['name']}" for number, row in enumerate(rows)]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    targets = {"people": {"table": "people"}, "kind": {"kind": "take_people", "batch": 2}}
    return Settings(**settings.model_dump() | {"import_targets": json.dumps(targets)})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    kinds = (import_csv, take_people)
    async with open_desk(settings, *kinds) as opened, running_worker(settings, catalogue_of(*kinds)):
        yield opened


async def test_a_file_goes_into_a_table_and_to_a_kind(desk: Desk, settings: Settings) -> None:
    async with writing(desk.ledger.database) as connection:
        await connection.execute(text("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)"))
    library = library_of(settings, desk.ledger)
    file = await put(library, b"id,name\n1,Ann\nx,", b"Bob\n3,=Cid\n", name="people.csv")

    row = await desk.ended(await desk.enqueue(import_csv, {"file": file.id, "target": "people"}))
    assert row["state"] == "succeeded", row["error_message"]
    assert row["error_type"].endswith("RowsRefused")
    assert row["progress_done"] == row["progress_total"] == file.size
    result = json.loads(row["result"])
    errors = await library.find(result["errors_file"])
    assert errors.name == "people-errors.csv"
    content = b"".join([block async for block in library.read(errors)])
    assert content.decode("utf-8-sig").splitlines() == ["line,reason,row", "3,id is not of type integer: 'x',x,Bob"]

    row = await desk.ended(await desk.enqueue(import_csv, {"file": file.id, "target": "kind"}))
    assert row["state"] == "succeeded", row["error_message"]
    async with desk.ledger.read() as connection:
        found = await connection.execute(text("SELECT id FROM jobs WHERE kind = 'take_people' ORDER BY id"))
        ids = found.scalars().all()
    results = [json.loads((await desk.ended(one))["result"]) for one in ids]
    assert sorted(results) == [["1 Ann", "2 Bob"], ["3 =Cid"]]

    row = await desk.ended(await desk.enqueue(import_csv, {"file": file.id, "target": "nobody"}))
    assert (row["state"], row["attempt"]) == ("failed", 1)
    assert "There are: kind, people" in row["error_message"]
