"""What `update_stats` needs: counters in the ledger's database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from jobs.stats.counters import Count, Counted, Counters
from service.feature import Capabilities
from service.ledger.group_commit import GroupCommit
from service.ledger.ledger import Ledger
from service.ledger.outages import is_data_error
from service.settings import Settings
from service.stats.records import CountsOfJob, record_counted

_CLOSE_WITHIN_S = 3


class LedgerCounters:
    """See `jobs.stats.counters.Counters`. Jobs that count at the same time share a transaction.

    The ledger's own writes use another, because this one may wait for a counter that another worker is adding to.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._group_commit = GroupCommit(ledger.database.transact, is_data_error=is_data_error)

    async def count_once(self, job_id: str, counts: Sequence[Count]) -> Counted | None:
        wanted = [CountsOfJob(job_id, counts)]
        return (await self._group_commit.write(record_counted, wanted, weight=len(counts)))[0]

    async def close(self) -> None:
        """Record the counts that still wait, unless that takes too long."""
        await self._group_commit.close(within_s=_CLOSE_WITHIN_S)


@asynccontextmanager
async def open_counters(settings: Settings, ledger: Ledger) -> AsyncIterator[Capabilities]:
    """Open the counters over the ledger's database."""
    counters = LedgerCounters(ledger)
    try:
        yield {Counters: counters}
    finally:
        await counters.close()
