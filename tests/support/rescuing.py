"""Makes a rescue happen now: the lease of a dead worker runs out at once, as if it had long been silent."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, update

from service.ledger.ledger import Ledger
from service.tables import sweep_lease, workers
from tests.support.running import eventually
from tests.support.writing import writing


async def let_the_rescue_be_now(ledger: Ledger) -> None:
    """Set the times of leases back, as if dead workers had long been silent; call it before others begin."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    async with writing(ledger.database) as connection:
        await connection.execute(update(workers).values(heartbeat_at=long_ago))
        await connection.execute(delete(sweep_lease))


async def let_it_rescue(ledger: Ledger) -> None:
    """Make the living worker look as if it had long been alive."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)

    async def registered() -> bool:
        async with writing(ledger.database) as connection:
            living = workers.c.heartbeat_at > datetime.now(UTC) - timedelta(seconds=20)
            older = await connection.execute(update(workers).where(living).values(beating_since=long_ago))
            return bool(older.rowcount)

    await eventually(registered)


async def let_be_silent(ledger: Ledger, pids: Collection[int]) -> None:
    """Make the dead workers with these pids look as if they had long been silent, and all others as if alive."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    async with writing(ledger.database) as connection:
        await connection.execute(update(workers).where(workers.c.pid.in_(pids)).values(heartbeat_at=long_ago))
        await connection.execute(update(workers).where(workers.c.pid.not_in(pids)).values(beating_since=long_ago))
        await connection.execute(delete(sweep_lease))
