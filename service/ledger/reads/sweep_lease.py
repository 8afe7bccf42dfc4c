"""Who leads the sweep."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.clock import clock_of
from service.ledger.leases import LONGEST_SWEEP_LEASE
from service.tables import sweep_lease


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it and until when, and the queue's epoch at the last whole sweep."""

    leader: str
    left: timedelta
    epoch: str | None

    @property
    def is_over(self) -> bool:
        """Whether anybody may take it."""
        return not timedelta(0) < self.left <= LONGEST_SWEEP_LEASE


async def read_lease(connection: AsyncConnection) -> Lease | None:
    """Read the lease and the database's clock in one round trip."""
    columns = (sweep_lease.c.leader, sweep_lease.c.leased_until, sweep_lease.c.epoch)
    row = (await connection.execute(select(*columns, clock_of(connection.dialect.name).label("now")))).first()
    return None if row is None else Lease(row.leader, row.leased_until - row.now, row.epoch)
