"""Fill Postlude's ledger with a few statements: `python -m benchmarks.grow COUNT`.

COUNT jobs wait: half are due, on the queue `QUEUE` that no worker serves, and half are due tomorrow. COUNT more have
succeeded, each with its attempt, as long use would leave them.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.queue import Entry, Queue, open_redis
from service.settings import Settings
from service.tables import moment_text

QUEUE = "later"
_DUE, _TOMORROW, _FINISHED = "due", "tomorrow", "finished"
_PUT_AT_ONCE = 10_000

# Ids and times rise together, as they do for real jobs.
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
_LATER = {
    "sqlite": "strftime('%Y-%m-%dT%H:%M:%f000Z', julianday(:{0}) + i / 86400000.0)",
    "postgresql": "CAST(:{0} AS timestamptz) + i * interval '1 millisecond'",
}
_JOBS = (
    "INSERT INTO jobs (id, kind, state, queue, args, attempt, max_attempts, dispatch_epoch, run_at, created_at, "
    "started_at, finished_at) {numbers} "
    "SELECT '{name}-' || (10000000 + i), 'bench_noop', '{state}', '{queue}', '{{}}', {attempt}, 10, :epoch, {run_at}, "
    "{created_at}, {ended_at}, {ended_at} FROM n"
)
_ATTEMPTS = (
    "INSERT INTO attempts (job_id, number, outcome, worker, started_at, finished_at) "
    "SELECT id, attempt, 'succeeded', 'gone', started_at, finished_at FROM jobs WHERE state = 'succeeded'"
)
_LISTING = "INSERT INTO job_listing (created_at, job_id, kind, queue) SELECT created_at, id, kind, queue FROM jobs"
# What the database's own maintenance would have done by then.
_REST = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE"}


def finished_id(number: int) -> str:
    return f"{_FINISHED}-{10_000_000 + number}"


async def grow(count: int) -> float:
    """Fill the ledger, put the due jobs on the queue, and return how many seconds that took."""
    started = time.monotonic()
    settings = Settings()
    redis = open_redis(settings.redis_dsn)
    queue = Queue(redis)
    engine = create_async_engine(settings.sqlalchemy_url)
    await _fill(engine, count, await queue.epoch())
    await _put(queue, count // 2)
    await engine.dispose()
    await redis.aclose()
    return time.monotonic() - started


async def _fill(engine: AsyncEngine, count: int, epoch: str) -> None:
    dialect = engine.dialect.name
    now = datetime.now(UTC)
    later = _LATER[dialect]
    created_at = later.format("earlier")
    due = {"name": _DUE, "state": "queued", "queue": QUEUE, "attempt": 0, "run_at": created_at, "ended_at": "NULL"}
    tomorrow = due | {"name": _TOMORROW, "state": "scheduled", "run_at": later.format("tomorrow")}
    finished = due | {"name": _FINISHED, "state": "succeeded", "attempt": 1, "ended_at": created_at}
    moments = {"earlier": now - timedelta(hours=1), "tomorrow": now + timedelta(days=1)}
    times = {name: moment_text(at) if dialect == "sqlite" else at for name, at in moments.items()}
    async with engine.begin() as connection:
        for fields, rows in ((due, count // 2), (tomorrow, count // 2), (finished, count)):
            statement = text(_JOBS.format(numbers=_NUMBERS, created_at=created_at, **fields))
            await connection.execute(statement, {"count": rows, "epoch": epoch if fields is due else "", **times})
        await connection.execute(text(_LISTING))
        await connection.execute(text(_ATTEMPTS))
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(_REST[dialect]))


async def _put(queue: Queue, count: int) -> None:
    now = datetime.now(UTC)
    for first in range(1, count + 1, _PUT_AT_ONCE):
        numbers = range(first, min(first + _PUT_AT_ONCE, count + 1))
        await queue.put(Entry(f"{_DUE}-{10_000_000 + number}", "bench_noop", QUEUE, now) for number in numbers)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(grow(int(sys.argv[1])))))
