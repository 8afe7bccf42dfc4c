"""What figures cost on a long history: `python -m benchmarks.figure_reads --terminal 10000000`.

Fills SQLite and Postgres with terminal jobs, 100,000 waiting ones and 60 days of figures, and prints the median time of
each read and write of figures, and of all the facts behind troubles. Pages have 200 ms.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobs import Catalogue
from service.insight.facts import FactsReader
from service.ledger import migrate
from service.resources import Resources, open_resources
from service.settings import Settings
from tests.support.figure_plans import CALLS, fill_figures
from tests.support.plans import Call, fill
from tests.support.servers import PostgresServer, RedisServer
from tests.support.writing import writing

_ROUNDS = 15


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminal", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        postgres, redis = PostgresServer(Path(folder) / "pg"), RedisServer(Path(folder) / "redis")
        postgres.start()
        redis.start()
        try:
            for sort in wanted.databases.split(","):
                url = f"sqlite+aiosqlite:///{folder}/f.db" if sort == "sqlite" else postgres.create_database("f")
                settings = Settings(database_url=url, redis_url=redis.url, data_dir=Path(folder))
                await _measure(sort, settings, wanted.terminal, wanted.waiting)
        finally:
            redis.stop()
            postgres.stop()


async def _measure(sort: str, settings: Settings, terminal: int, waiting: int) -> None:
    await migrate.upgrade(settings, [])
    async with open_resources(settings, Catalogue()) as resources:
        database = resources.ledger.database
        await fill(database, terminal=terminal, waiting=waiting)
        await fill_figures(database, datetime.now(UTC))
        reader = FactsReader(resources)
        print(f"{sort}: {terminal:,} terminal jobs, {waiting:,} waiting")
        for name, call in CALLS.items():
            print(f"  {await _median_ms(partial(_once, resources, call)):8.1f} ms  {name}")
        print(f"  {await _median_ms(reader.read):8.1f} ms  the facts behind troubles")
        await reader.close()


async def _once(resources: Resources, call: Call) -> None:
    """Do it in a transaction that is taken back, so that each round finds the same."""
    async with writing(resources.ledger.database) as connection:
        await call(connection, datetime.now(UTC))
        await connection.rollback()


async def _median_ms(work: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        await work()
        times.append((time.perf_counter() - began) * 1_000)
    return statistics.median(times)


if __name__ == "__main__":
    asyncio.run(main())
