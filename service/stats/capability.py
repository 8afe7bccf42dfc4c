"""What `update_stats` asks for: counters in the ledger's database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.stats.counters import Count, Counters
from service.feature import Capabilities
from service.ledger.ledger import Ledger
from service.settings import Settings
from service.stats.records import record_counted


class LedgerCounters:
    """See `jobs.stats.counters.Counters`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def count_once(self, job_id: str, count: Count) -> bool:
        # Not among the ledger's own writes: it may wait for a counter that another transaction holds.
        return await self._ledger.database.run_for_job(lambda connection: record_counted(connection, job_id, count))


@asynccontextmanager
async def open_counters(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the counters over the ledger's database."""
    yield {Counters: LedgerCounters(ledger)}
