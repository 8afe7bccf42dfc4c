"""One process leads the sweep, by a lease in one row, which also says how the sweep is doing (see `reads/audit.py`).

Every `at` is the database's (see `clock.py`).
"""

from datetime import datetime

from sqlalchemy import Connection, case, literal, update

from service.ledger.leases import LONGEST_SWEEP_GAP, LONGEST_SWEEP_LEASE, SWEEP_LEASE
from service.ledger.rows import insert_for
from service.tables import Moment, sweep_lease


def record_leader(connection: Connection, leader: str, at: datetime) -> bool:
    """Take the lease if it is free, or renew it; return False if another process was first."""
    insert = insert_for(connection.dialect.name)(sweep_lease).values(id=1, leader=leader, leased_until=at + SWEEP_LEASE)
    held = sweep_lease.c.leased_until.between(at, at + LONGEST_SWEEP_LEASE)
    statement = insert.on_conflict_do_update(
        index_elements=["id"],
        set_={"leader": insert.excluded.leader, "leased_until": insert.excluded.leased_until},
        where=(sweep_lease.c.leader == leader) | ~held,
    )
    return connection.execute(statement.returning(sweep_lease.c.id)).first() is not None


def record_swept(connection: Connection, leader: str, epoch: str, at: datetime) -> None:
    """Note a pass that left nothing to mend, in ledger and queue.

    Changes nothing for a process that no longer leads.
    """
    no_gap = sweep_lease.c.swept_at >= at - LONGEST_SWEEP_GAP
    noted = update(sweep_lease).where(sweep_lease.c.leader == leader)
    since = case((no_gap, sweep_lease.c.swept_since), else_=literal(at, Moment()))
    connection.execute(noted.values(epoch=epoch, swept_at=at, swept_since=since))


def record_behind(connection: Connection, leader: str) -> None:
    """Note that there is much to mend, or no queue. Until that is over, the audit judges nothing by the sweep."""
    noted = update(sweep_lease).where(sweep_lease.c.leader == leader, sweep_lease.c.swept_at.is_not(None))
    connection.execute(noted.values(swept_at=None, swept_since=None))


def record_released(connection: Connection, leader: str, at: datetime) -> None:
    """Let another process lead at once."""
    connection.execute(update(sweep_lease).where(sweep_lease.c.leader == leader).values(leased_until=at))
