"""Rows that an application commits: how many a second reach the ledger, and how soon does the job of one start?"""

import asyncio
import random
import time
from dataclasses import replace

from postlude import outbox
from postlude.ids import new_id
from sqlalchemy import MetaData, NullPool, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from benchmarks import over_http
from benchmarks.arena import Arena, arena, stamps_received, wait_until
from benchmarks.cases import Case
from benchmarks.cases.pickup import percentiles
from benchmarks.contenders import POSTLUDE_POSTGRES, POSTLUDE_SQLITE, Contender
from benchmarks.measures import Measure, Values, steady_rate
from benchmarks.stage import INTERVALS_S
from tests.support.servers import PostgresServer

_ROWS = outbox.table(MetaData())
ROWS, _QUICK_ROWS = 50_000, 5_000
_SINGLE, _QUICK_SINGLE, _WARM_UP = 100, 30, 10
_INSERTED_AT_ONCE = 5_000
_LIMIT_S = 120
_SAMPLE_EVERY_S = 0.02


def play(contender: Contender, postgres: PostgresServer, quick: bool) -> Values:
    count, singles = (_QUICK_ROWS, _QUICK_SINGLE) if quick else (ROWS, _SINGLE)
    with arena(contender, postgres) as opened, stamps_received(opened.stamps) as stamps:
        opened.serve()
        job = {"kind": "bench_aside", "args": {}, "delay": 86_400}
        batch_s = over_http.enqueue(opened, [job] * count)
        asyncio.run(_fill(opened, count))
        opened.work()
        rows_per_s = asyncio.run(_emptied(opened, count))
        asyncio.run(_trickle(opened, range(_WARM_UP)))
        wait_until(lambda: len(stamps) == _WARM_UP, "the worker")
        stamps.clear()
        committed = asyncio.run(_trickle(opened, range(singles)))
        wait_until(lambda: len(stamps) == singles, "all jobs to start")
        waited_ms = [(stamps[index] - at_ns) / 1e6 for index, at_ns in committed.items()]
        return {"rows_per_s": rows_per_s, "batch_per_s": count / batch_s, **percentiles(waited_ms)}


async def _fill(opened: Arena, count: int) -> None:
    engine = _engine(opened)
    for _ in range(0, count, _INSERTED_AT_ONCE):
        row = {"kind": "bench_aside", "args": "{}", "options": '{"delay": 86400}'}
        some = [row | {"id": new_id()} for _ in range(min(count, _INSERTED_AT_ONCE))]
        async with engine.begin() as connection:
            await connection.execute(insert(_ROWS), some)
    await engine.dispose()


async def _emptied(opened: Arena, count: int) -> float:
    """Wait until the outbox is empty; return the rows a second, steady."""
    engine, samples = _engine(opened), list[tuple[float, int]]()
    deadline = time.monotonic() + _LIMIT_S
    async with engine.connect() as connection:
        while not samples or samples[-1][1] < count:
            samples.append((time.monotonic(), count - await _left(connection)))
            opened.check(time.monotonic() < deadline, f"the outbox was not empty within {_LIMIT_S} s")
            await asyncio.sleep(_SAMPLE_EVERY_S)
    await engine.dispose()
    return steady_rate(samples, count)


async def _left(connection: AsyncConnection) -> int:
    left = (await connection.execute(select(func.count()).select_from(_ROWS))).scalar_one()
    await connection.rollback()
    return left


async def _trickle(opened: Arena, indices: range) -> dict[int, int]:
    """Enqueue jobs one by one at random intervals; return the monotonic_ns of each commit."""
    engine, dice, committed = _engine(opened), random.Random(len(indices)), {}
    for index in indices:
        await asyncio.sleep(dice.uniform(*INTERVALS_S))
        async with engine.begin() as connection:
            await outbox.enqueue(connection, "bench_stamp", {"index": index})
        committed[index] = time.monotonic_ns()
    await engine.dispose()
    return committed


def _engine(opened: Arena) -> AsyncEngine:
    if opened.on_postgres:
        return create_async_engine(opened.postgres.url(opened.database))
    return create_async_engine(f"sqlite+aiosqlite:///{opened.folder / 'data' / 'postlude.db'}", poolclass=NullPool)


CASE = Case(
    name="outbox",
    title="Transactional outbox",
    explanation=f"{ROWS:,} rows of scheduled jobs in the outbox of the ledger's own database, moved by one worker: "
    "rows a second, steady. Beside it as many jobs over `POST /v1/jobs/batch`, 1,000 in each, by one caller. Then "
    "single rows, at random intervals of 20 to 80 ms: from the application's commit to the first line of the job.",
    contenders=[POSTLUDE_SQLITE, replace(POSTLUDE_POSTGRES, in_quick=False)],
    measures={
        "rows_per_s": Measure("rows/s, steady"),
        "batch_per_s": Measure("jobs/s by batch"),
        "p50_ms": Measure("commit to start, p50 ms", more_is_better=False, digits=1),
        "p99_ms": Measure("p99 ms", more_is_better=False, digits=1),
    },
    main="rows_per_s",
    play=play,
    rounds_at_most=2,
)
