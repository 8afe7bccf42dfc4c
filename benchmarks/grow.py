"""Fills Postlude's ledger in a few statements: `python -m benchmarks.grow COUNT`.

COUNT jobs wait for tomorrow, and COUNT have succeeded, with their attempts. It is a database that long use would leave.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from service.ledger.database import Database
from service.settings import Settings
from service.tables import moment_text

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
_JOBS = (
    "INSERT INTO jobs "
    "(id, kind, state, queue, args, attempt, max_attempts, run_at, created_at, started_at, finished_at) "
    + _NUMBERS
    + " SELECT '{state}-' || i, 'bench_noop', '{state}', 'default', '{{}}', {attempt}, 10, {run_at}, {created_at}, "
    "{ended_at}, {ended_at} FROM n"
)
_ATTEMPTS = (
    "INSERT INTO attempts (job_id, number, outcome, worker, started_at, finished_at) "
    "SELECT id, 1, 'succeeded', 'gone', started_at, finished_at FROM jobs WHERE state = 'succeeded'"
)
_LISTING = "INSERT INTO job_listing (created_at, job_id, kind, queue) SELECT created_at, id, kind, queue FROM jobs"


async def grow(count: int) -> float:
    """Fill, refresh the planner's statistics; gives the seconds it took."""
    database = Database.open(Settings().sqlalchemy_url)
    now = datetime.now(UTC)
    tomorrow, earlier = _quoted(now + timedelta(days=1)), _quoted(now - timedelta(hours=1))
    waiting = {"state": "scheduled", "attempt": 0, "run_at": tomorrow, "created_at": earlier, "ended_at": "NULL"}
    finished = {"state": "succeeded", "attempt": 1, "run_at": earlier, "created_at": earlier, "ended_at": earlier}
    started = time.monotonic()
    async with database.begin() as connection:
        for fields in (waiting, finished):
            await connection.execute(text(_JOBS.format(count=count, **fields)))
        await connection.execute(text(_ATTEMPTS))
        await connection.execute(text(_LISTING))
        await connection.execute(text("ANALYZE"))
    await database.close()
    return time.monotonic() - started


def _quoted(moment: datetime) -> str:
    return f"'{moment_text(moment)}'"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(grow(int(sys.argv[1])))))
