"""Who sweeps: one row, a lease by the database's clock. Beside it, how the sweep fared (see `audit.py`)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service import agreed_time
from service.ledger.rows import insert_for
from service.tables import Moment, sweep_lease

LEASE = timedelta(seconds=10)
# A lease that lasts longer is from before the clock was set back.
_LONGEST = 2 * LEASE
# Passes that lie further apart than this do not count as sweeping without a gap.
LONGEST_GAP = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it, for how long yet, and the queue's epoch when it was last swept whole."""

    leader: str
    left: timedelta
    epoch: str | None

    @property
    def is_over(self) -> bool:
        """Whether anybody may take it."""
        return not timedelta(0) < self.left <= _LONGEST


async def read(connection: AsyncConnection) -> Lease | None:
    """Read the lease and the database's clock, in one round trip."""
    columns = (sweep_lease.c.leader, sweep_lease.c.leased_until, sweep_lease.c.epoch)
    statement = select(*columns, _clock(connection).label("now"))
    row = (await connection.execute(statement)).first()
    return None if row is None else Lease(row.leader, row.leased_until - row.now, row.epoch)


async def take(connection: AsyncConnection, leader: str, at: datetime) -> bool:
    """Take the lease if it is free, or renew it; False when somebody else was first."""
    insert = insert_for(connection.dialect.name)(sweep_lease).values(id=1, leader=leader, leased_until=at + LEASE)
    held = sweep_lease.c.leased_until.between(at, at + _LONGEST)
    statement = insert.on_conflict_do_update(
        index_elements=["id"],
        set_={"leader": insert.excluded.leader, "leased_until": insert.excluded.leased_until},
        where=(sweep_lease.c.leader == leader) | ~held,
    )
    return (await connection.execute(statement.returning(sweep_lease.c.id))).first() is not None


async def note_swept(connection: AsyncConnection, leader: str, epoch: str, at: datetime) -> None:
    """Note a pass that left nothing to mend, in ledger and queue. Changes nothing for one who leads no more."""
    no_gap = sweep_lease.c.swept_at >= at - LONGEST_GAP
    noted = update(sweep_lease).where(sweep_lease.c.leader == leader)
    since = case((no_gap, sweep_lease.c.swept_since), else_=literal(at, Moment()))
    await connection.execute(noted.values(epoch=epoch, swept_at=at, swept_since=since))


async def note_behind(connection: AsyncConnection, leader: str) -> None:
    """Note that there is much to mend, or no queue: until it is done, nothing can be judged by it."""
    noted = update(sweep_lease).where(sweep_lease.c.leader == leader, sweep_lease.c.swept_at.is_not(None))
    await connection.execute(noted.values(swept_at=None, swept_since=None))


async def release(connection: AsyncConnection, leader: str, at: datetime) -> None:
    """Let another lead at once."""
    await connection.execute(update(sweep_lease).where(sweep_lease.c.leader == leader).values(leased_until=at))


def _clock(connection: AsyncConnection) -> ColumnElement[datetime]:
    if connection.dialect.name == "sqlite":
        return literal(agreed_time.now(), Moment())
    return func.clock_timestamp(type_=Moment())
