"""How fast `import_csv` is beside a bare loop of `executemany`: `python -m benchmarks.imports --rows 1000000`.

The bare loop is the driver's own (sqlite3, asyncpg) over the same rows, which somebody has parsed already, in the same
batches, each committed; only its calls are timed. The import is the kind itself over its real target: it reads the
file, finds out how it is written, converts all cells, and writes its position with each batch. Each of both runs in a
process of its own, one after the other, and prints rows a second and the most memory that it had.
"""

import argparse
import asyncio
import csv
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import make_url

from service.features import FEATURES
from service.heap import gc_frozen
from service.ledger import migrate
from service.settings import Settings
from tests.service.imports.importing import importer
from tests.support.servers import PostgresServer

_BATCH = 2_000
_COLUMNS = ("id", "name", "email", "amount", "day", "active", "note")
_TABLE = (
    "CREATE TABLE people (id BIGINT PRIMARY KEY, name VARCHAR(100) NOT NULL, email TEXT, amount NUMERIC(12, 2),"
    " day DATE, active BOOLEAN, note TEXT)"
)
_FIRST_DAY = date(2020, 1, 1)


def _row(number: int) -> tuple[Any, ...]:
    day = _FIRST_DAY + timedelta(days=number % 2_000)
    amount = Decimal(number % 100_000) / 100
    note = None if number % 3 else f'said "{number}", and left'
    return (number, f"Person {number}", f"person{number}@example.com", amount, day, number % 2 == 0, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        way, url = wanted.one
        print(json.dumps(asyncio.run(_measured(way, url, wanted.rows))))
        return
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        postgres = PostgresServer(Path(folder) / "pg")
        if "postgres" in wanted.databases:
            postgres.start()
        try:
            for sort in wanted.databases.split(","):
                _compare(sort, wanted.rows, Path(folder), postgres)
        finally:
            if "postgres" in wanted.databases:
                postgres.stop()


def _compare(sort: str, rows: int, folder: Path, postgres: PostgresServer) -> None:
    _write_file(folder / "import.csv", rows)
    _write_file(folder / "few" / "import.csv", rows // 10)
    results = {}
    for name, way, count in (("bare", "bare", rows), ("import", "import", rows), ("a tenth", "import", rows // 10)):
        place = folder if count == rows else folder / "few"
        database = f"{sort}_{name.replace(' ', '_')}"
        url = f"sqlite+aiosqlite:///{place}/{database}.db" if sort == "sqlite" else postgres.create_database(database)
        asyncio.run(migrate.upgrade(Settings(database_url=url, data_dir=place), [one.schema for one in FEATURES]))
        command = [sys.executable, "-m", "benchmarks.imports", "--rows", str(count), "--one", f"{way}:{place}", url]
        results[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    bare, whole, few = results["bare"], results["import"], results["a tenth"]
    print(f"{sort}: {rows:,} rows")
    print(f"  executemany {bare['rows_per_s']:>10,.0f} rows/s")
    print(f"  import_csv  {whole['rows_per_s']:>10,.0f} rows/s: {whole['rows_per_s'] / bare['rows_per_s']:.2f} of it")
    print(f"  memory      {whole['peak_mb']:.0f} MB at most, and {few['peak_mb']:.0f} MB for a tenth of the rows")


def _write_file(path: Path, rows: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(map(_row, range(rows)))


async def _measured(way: str, url: str, rows: int) -> dict[str, float]:
    how, _, folder = way.partition(":")
    with gc_frozen():  # as a worker does, for both
        took_s = await (_bare(url, rows) if how == "bare" else _imported(url, rows, Path(folder)))
    return {
        "rows_per_s": rows / took_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


async def _imported(url: str, rows: int, folder: Path) -> float:
    async with importer(url, folder, '{"people": {"table": "people"}}') as desk:
        await desk.execute(_TABLE)
        began = time.perf_counter()
        result = await desk.run()
        took_s = time.perf_counter() - began
        assert (result.inserted, result.failed) == (rows, 0), result
        assert await desk.rows("SELECT count(*) FROM people") == [(rows,)]
        return took_s


async def _bare(url: str, rows: int) -> float:
    if url.startswith("sqlite"):
        return _bare_sqlite(str(make_url(url).database), rows)
    return await _bare_postgres(url.replace("+asyncpg", ""), rows)


def _batches(rows: int) -> Iterator[list[tuple[Any, ...]]]:
    numbers = iter(range(rows))
    while some := list(map(_row, islice(numbers, _BATCH))):
        yield some


def _bare_sqlite(path: str, rows: int) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _TABLE):
        connection.execute(statement)
    took_s = 0.0
    for some in _batches(rows):
        parsed = [(*row[:3], str(row[3]), row[4].isoformat(), *row[5:]) for row in some]
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", parsed)
        connection.execute("COMMIT")
        took_s += time.perf_counter() - began
    return took_s


async def _bare_postgres(url: str, rows: int) -> float:
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLE)
    took_s = 0.0
    for some in _batches(rows):
        began = time.perf_counter()
        async with connection.transaction():
            await connection.executemany("INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7)", some)
        took_s += time.perf_counter() - began
    await connection.close()
    return took_s


if __name__ == "__main__":
    main()
