"""What pages cost on a long history: `python -m benchmarks.pages --terminal 10000000`.

Fills SQLite and Postgres with terminal jobs, 100,000 waiting ones and 60 days of figures, asks an API in this process
for each page in turns, and prints the server's time at the median and at p95. Pages have 200 ms.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from jobs import Catalogue
from service.app import create_app
from service.features import FEATURES
from service.ledger import migrate
from service.resources import open_resources
from service.settings import Settings
from tests.support.figure_plans import fill_figures
from tests.support.plans import fill
from tests.support.servers import PostgresServer, RedisServer

_ROUNDS = 40
_HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
PAGES = (
    "/",
    "/jobs",
    "/jobs?state=failed",
    "/jobs?state=queued",
    "/jobs?state=scheduled",
    "/jobs?kind=k1",
    "/jobs?kind=k1&state=failed",
    "/jobs?queue=default&state=succeeded",
    "/jobs?lane=tenant:7",
    "/jobs?lane=tenant:7&state=queued",
    "/jobs?error_type=KeyError",
    "/jobs?tag=cron",
    "/jobs?args.city=Paris",
    "/jobs?q=nothing",
    f"/jobs?created_after={_HOUR_AGO}",
    f"/jobs?finished_after={_HOUR_AGO}",
    "/jobs/done-5000",
    "/jobs/waits-5000",
    "/jobs/runs-50",
    "/failures",
    "/failures/f1",
    "/operations",
    "/flows",
    "/schedules",
    "/queues",
    "/lanes",
    "/lanes/tenant:7",
    "/kinds",
    "/kinds/send_webhook",
    "/workers",
    "/workers/w0",
    "/audit",
    "/keys",
    "/users",
)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--terminal", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--databases", default="sqlite,postgres")
    wanted = parser.parse_args()
    for sort in wanted.databases.split(","):
        with tempfile.TemporaryDirectory(prefix="pl-") as folder:
            async with _settings(sort, Path(folder)) as settings:
                await _fill(settings, wanted.terminal, wanted.waiting)
                print(f"{sort}: {wanted.terminal:,} terminal jobs, {wanted.waiting:,} waiting", flush=True)
                await _measure(settings)


@asynccontextmanager
async def _settings(sort: str, folder: Path) -> AsyncIterator[Settings]:
    redis, postgres = RedisServer(folder / "redis"), PostgresServer(folder / "pg")
    redis.start()
    if sort == "postgres":
        postgres.start()
    try:
        url = f"sqlite+aiosqlite:///{folder}/f.db" if sort == "sqlite" else postgres.create_database("f")
        yield Settings(database_url=url, redis_url=redis.url, data_dir=folder)
    finally:
        redis.stop()
        if sort == "postgres":
            postgres.stop()


async def _fill(settings: Settings, terminal: int, waiting: int) -> None:
    await migrate.upgrade(settings, [feature.schema for feature in FEATURES])
    async with open_resources(settings, Catalogue()) as resources:
        await fill(resources.ledger.database, terminal=terminal, waiting=waiting)
        await fill_figures(resources.ledger.database, datetime.now(UTC))
    await _tidy(settings)


async def _tidy(settings: Settings) -> None:
    """Do what the database's own maintenance would have done by then."""
    engine = create_async_engine(settings.sqlalchemy_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "PRAGMA optimize")
    await engine.dispose()


async def _measure(settings: Settings) -> None:
    """Ask for all pages in turns, so that what the API keeps for a moment is as old as it is for most viewers."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers={"Accept": "text/html"}, timeout=60
        ) as api:
            times: dict[str, list[float]] = {page: [] for page in PAGES}
            answers: dict[str, int] = {}
            for _ in range(_ROUNDS):
                for page in PAGES:
                    began = time.perf_counter()
                    answers[page] = (await api.get(page)).status_code
                    times[page].append((time.perf_counter() - began) * 1_000)
    print(f"  {'median':>8}  {'p95':>8}")
    for page, taken in times.items():
        note = "" if answers[page] == 200 else f"  answered {answers[page]}"
        print(f"  {median(taken):8.1f}  {quantiles(taken, n=20)[-1]:8.1f} ms  {page}{note}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
