"""Twenty jobs that count, in two groups, and a process that dies as by `kill -9` after one of their statements.

`python -m tests.support.mortal_counter STATEMENT` dies after that many statements about counters.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from signal import SIGKILL
from typing import Any

from sqlalchemy import Engine, event

from jobs.stats.counters import Count, Counted
from service.ledger.ledger import Ledger
from service.stats.capability import LedgerCounters
from service.stats.tables import metadata

JOBS = 20


def counts_of(number: int, at: datetime) -> list[Count]:
    """Three events: of one hot counter, of one with ids that two jobs share, and of one with people."""
    then = at - timedelta(minutes=20 * (number % 4))
    return [
        Count("home", "view", 1, then),
        Count("home", "order", 10, then, id=f"order {number // 2}"),
        Count(f"page {number % 3}", "view", 1, then, unique=f"user {number % 7}"),
    ]


async def count_all(ledger: Ledger, at: datetime) -> list[Counted | None]:
    """Count all jobs."""
    counters = LedgerCounters(ledger)
    found: list[Counted | None] = []
    for first in range(0, JOBS, 10):
        numbers = range(first, first + 10)
        found += await asyncio.gather(*(counters.count_once(f"job {one}", counts_of(one, at)) for one in numbers))
    return found


async def _main(last: int, at: datetime) -> None:
    seen = 0

    def die_in_time(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal seen
        seen += any(name in statement for name in metadata.tables)
        if seen == last:
            os.kill(os.getpid(), SIGKILL)

    event.listen(Engine, "after_cursor_execute", die_in_time)
    async with Ledger.open(os.environ["POSTLUDE_DATABASE_URL"], retention=timedelta(days=30)) as ledger:
        await count_all(ledger, at)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), datetime.fromisoformat(sys.argv[2]).astimezone(UTC)))
