"""Calls in child processes: how long until the first one is answered, and how many a second then, without a ledger?"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any

import uuid_utils

from benchmarks import calls
from benchmarks.cases import Case
from benchmarks.contenders import Contender
from benchmarks.measures import Measure, Values
from jobs.kit.steps import NOTHING
from service.hooks import Hooks
from service.ledger.models import Started
from service.ledger.states import SUCCESS
from service.settings import Settings
from service.worker.performing.deadlines import Deadlines
from service.worker.performing.processes.attempt import ProcessAttempt
from service.worker.performing.processes.messages import Handed
from service.worker.performing.processes.pool import ProcessPool
from tests.support.fakes import fake_context
from tests.support.servers import PostgresServer

PROCESSES = 2
CALLS = 4_000
_QUICK_CALLS = 1_000
_AT_ONCE = 100
POSTLUDE = "Postlude's processes"

Call = Callable[[int], Coroutine[Any, Any, int]]


def play(contender: Contender, _postgres: PostgresServer, quick: bool) -> Values:
    measure = _ours if contender.name == POSTLUDE else _executors
    return asyncio.run(measure(_QUICK_CALLS if quick else CALLS))


async def _ours(count: int) -> Values:
    settings = Settings(jobs=("benchmarks.calls",), processes=PROCESSES, stock_worker=True)  # whose attempts wait
    began = time.perf_counter()
    async with ProcessPool(settings) as pool:
        deadlines, hooks, context = Deadlines(), Hooks(), fake_context()

        async def call(number: int) -> int:
            handed = Handed(_started(number), NOTHING, datetime.now(UTC))
            attempt = ProcessAttempt(
                handed, calls.nothing, context, pool, deadlines=deadlines, hooks=hooks, hear=lambda _lines: None
            )
            finish = await attempt.run()
            assert finish.outcome is SUCCESS, finish
            return int(finish.result or 0)

        return await _measured(call, began, count)


async def _executors(count: int) -> Values:
    began = time.perf_counter()
    with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=calls.load) as executor:
        loop = asyncio.get_running_loop()

        async def call(number: int) -> int:
            return await loop.run_in_executor(executor, abs, number)

        return await _measured(call, began, count)


async def _measured(call: Call, began: float, count: int) -> Values:
    await call(0)
    start_s = time.perf_counter() - began
    await _all(call, count // 10)  # until all processes are there
    began = time.perf_counter()
    await _all(call, count)
    return {"start_ms": start_s * 1e3, "calls_per_s": count / (time.perf_counter() - began)}


async def _all(call: Call, count: int) -> None:
    """Call so often, by as many callers as a worker has slots."""
    numbers = iter(range(count))

    async def call_again_and_again() -> None:
        for number in numbers:
            assert await call(number) == number

    await asyncio.gather(*(call_again_and_again() for _ in range(_AT_ONCE)))


def _started(number: int) -> Started:
    now = datetime.now(UTC)
    fields: dict[str, Any] = dict.fromkeys(Started._fields) | {
        "id": str(uuid_utils.uuid7()),
        "kind": "bench_process",
        "args": f'{{"number": {number}}}',
        "attempt": 1,
        "failures": 0,
        "crashes": 0,
        "max_attempts": 3,
        "created_at": now,
        "worker": "bench",
        "started_at": now,
    }
    return Started(**fields)


CASE = Case(
    name="processes",
    title="Calls in child processes",
    explanation=f"A call that returns its argument, in {PROCESSES} spawned processes that have loaded the kinds: until "
    "the first answer of a new pool, and calls a second in a warm one, a hundred at once. Postlude reads args by their "
    "model, writes the result as JSON and can kill each call; the executor pickles an int. No ledger.",
    contenders=[
        Contender(POSTLUDE, "postlude", own_python=True),
        Contender("ProcessPoolExecutor", "", own_python=True),
    ],
    measures={
        "start_ms": Measure("ms until the first answer", more_is_better=False),
        "calls_per_s": Measure("calls/s"),
    },
    main="calls_per_s",
    play=play,
    chapter="processes",
)
