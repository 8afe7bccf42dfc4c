"""The reads of facts that attempts and workers leave behind, on a large database."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.attempt_lines import KeptLine, KeptLines
from service.ledger.database import Database
from service.ledger.reads.log_lines import latest_lines, lines_of
from service.ledger.reads.stacks import latest_stack
from service.ledger.reads.worker_views import find_worker, list_workers, running_jobs
from service.ledger.records.log_lines import record_log_lines
from service.ledger.records.stacks import TakenStack, record_stack_wish, record_stacks
from service.ledger.records.workers import record_drain, record_rescued, record_worker_forgotten
from tests.support.plans import Call
from tests.support.writing import writing


async def fill_facts(database: Database) -> None:
    """Give jobs of the history log lines, and stacks."""
    lines = "INSERT INTO log_lines (job_id, attempt, number, at, level, text) SELECT id, 1, {}, created_at, 'info', 'x'"
    statements = [
        *(f"{lines.format(number)} FROM jobs" for number in (1, 2)),
        "INSERT INTO stack_wishes (job_id, attempt, worker, wished_at, taken_at)"
        " SELECT id, 1, 'w' || length(id), created_at, created_at FROM jobs WHERE state = 'failed'",
    ]
    if database.dialect == "postgresql":
        statements.append("ANALYZE")
    for statement in statements:
        async with writing(database) as connection:
            await connection.exec_driver_sql(statement)


async def _keep(connection: AsyncConnection, now: datetime) -> None:
    lines = [KeptLine(n, now, "info", "x", None) for n in range(3, 20)]
    kept = [KeptLines(f"runs-{n}", 1, lines, left_out=(1, 2)) for n in range(1, 51)]
    await connection.run_sync(record_log_lines, kept)


async def _steer(connection: AsyncConnection, now: datetime) -> None:
    await connection.run_sync(record_drain, "w1", now)
    await connection.run_sync(record_worker_forgotten, "w3", now)
    await connection.run_sync(record_rescued, {"w3": 3})


async def _ask(connection: AsyncConnection, now: datetime) -> None:
    await connection.run_sync(record_stack_wish, "runs-1", now)
    await connection.run_sync(record_stacks, [TakenStack("runs-1", 1, "x")], now)


FACT_CALLS: Mapping[str, Call] = {
    "keep lines (850)": _keep,
    "lines of a job": lambda c, _: lines_of(c, "done-1", after=(1, 1)),
    "lines of an attempt": lambda c, _: lines_of(c, "done-1", attempt=1),
    "the latest lines": lambda c, _: latest_lines(c, ["done-1", "runs-1"]),
    "ask for a stack, and tell it": _ask,
    "the latest stack": lambda c, _: latest_stack(c, "runs-1"),
    "workers": list_workers,
    "a worker": lambda c, now: find_worker(c, "w1", now - timedelta(hours=1)),
    "what runs": lambda c, _: running_jobs(c),
    "what a worker runs": lambda c, _: running_jobs(c, worker="w1"),
    "drain, forget, count": _steer,
}


def walks_of_facts(plan: str) -> bool:
    return re.search(r"Seq Scan on (log_lines|stack_wishes)|^SCAN (log_lines|stack_wishes)\b", plan, re.M) is not None
