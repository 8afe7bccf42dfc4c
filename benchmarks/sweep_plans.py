"""What housekeeping costs on a long history: `python -m benchmarks.sweep_plans`.

Fills SQLite and Postgres with 1,000,000 terminal jobs and 100,000 waiting ones, and prints for each statement of the
sweep, the audit, the rescue and the purge its plan, and its median time beside that on an almost empty database. Then
wipes a Redis under 100,000 due jobs, and measures until all are on the queue again.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jobs import Catalogue
from service.ledger import migrate
from service.ledger.database import Database
from service.lifecycle.lifecycle import Lifecycle
from service.resources import open_resources
from service.settings import Settings
from service.worker.keeping.chores import sweep_of
from tests.support.plans import CALLS, bad_ways_in, fill, plans_of, sent_by
from tests.support.servers import PostgresServer, RedisServer
from tests.support.writing import writing

_ROUNDS = 15


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminal", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--plans", action="store_true", help="print every plan, not only the bad ones")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        postgres, redis = PostgresServer(Path(folder) / "pg"), RedisServer(Path(folder) / "redis")
        postgres.start()
        redis.start()
        try:
            for sort in wanted.databases.split(","):
                await _measure(sort, postgres, redis, Path(folder), wanted)
        finally:
            redis.stop()
            postgres.stop()


async def _measure(
    sort: str, postgres: PostgresServer, redis: RedisServer, folder: Path, wanted: argparse.Namespace
) -> None:
    times: dict[str, list[float]] = {name: [] for name in CALLS}
    for size, terminal, waiting in (("small", 100, 100), ("large", wanted.terminal, wanted.waiting)):
        name = f"{sort}_{size}"
        url = f"sqlite+aiosqlite:///{folder}/{name}.db" if sort == "sqlite" else postgres.create_database(name)
        settings = Settings(database_url=url, redis_url=redis.url, data_dir=folder)
        async with _filled(settings, terminal, waiting) as database:
            for call in CALLS:
                times[call].append(await _median_ms(database, call))
            if size == "large":
                await _show_plans(database, all_of_them=wanted.plans)
    print(f"\n| {sort}: ms | 200 rows | {wanted.terminal + wanted.waiting:,} rows |\n|---|---|---|")
    for call, (small, large) in times.items():
        print(f"| {call} | {small:.1f} | {large:.1f} |")
    print(f"\n{sort}: a wiped Redis filled again in {await _refill_s(settings):.1f} s", flush=True)


@asynccontextmanager
async def _filled(settings: Settings, terminal: int, waiting: int) -> AsyncIterator[Database]:
    await migrate.upgrade(settings)
    database = Database.open(settings.sqlalchemy_url)
    begun = time.perf_counter()
    await fill(database, terminal=terminal, waiting=waiting)
    print(f"{database.dialect}: {terminal + waiting:,} jobs made in {time.perf_counter() - begun:.0f} s", flush=True)
    yield database
    await database.close()


async def _median_ms(database: Database, name: str) -> float:
    """Time a call with its statements and their parsing in Python, in a transaction that is rolled back."""
    took = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        await sent_by(database, CALLS[name])
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


async def _show_plans(database: Database, *, all_of_them: bool) -> None:
    for name, call in CALLS.items():
        for sent in await sent_by(database, call):
            for plan in await plans_of(database, sent):
                bad = bad_ways_in(plan)
                if bad or all_of_them:
                    print(f"\n{database.dialect}, {name}{' WALKS' if bad else ''}:\n{sent.sql}\n{plan}")


async def _refill_s(settings: Settings) -> float:
    """Sweep as the leader until every due job is on the queue of an empty Redis; return how long that took."""
    async with open_resources(settings, Catalogue({})) as resources:
        async with writing(resources.ledger.database) as connection:
            await connection.exec_driver_sql(
                "UPDATE jobs SET run_at = created_at, dispatch_epoch = 'gone' WHERE id LIKE 'waits-%'"
            )
            await connection.exec_driver_sql("DELETE FROM sweep_lease")  # made by `fill`
        await resources.queue.redis.flushall()
        lifecycle = Lifecycle(resources.ledger, resources.queue, resources.catalogue, writer="w")
        sweep = sweep_of(resources, lifecycle, lambda: "w")
        begun = time.perf_counter()
        while await sweep.sweep():
            pass
        took_s = time.perf_counter() - begun
        print(f"{await resources.queue.redis.zcard('arq:queue'):,} ids on the queue")
        return took_s


if __name__ == "__main__":
    asyncio.run(main())
