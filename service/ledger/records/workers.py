"""A worker registers, renews its lease, and ends; a silent worker is declared dead by another.

Its row is the lease of everything that it runs. Every `at` is the database's (see `clock.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, case, exists, func, literal, select, update

from service.ledger.guards import is_silent
from service.ledger.leases import HEARTBEAT_GAP, SILENT_AFTER
from service.ledger.rows import insert_for
from service.tables import Moment, workers


def record_registered(connection: Connection, /, at: datetime, **worker: Any) -> None:
    """Register a worker under an id of its own. Safe to repeat, because the first answer may be lost.

    It inherits the oldest live worker's unbroken heartbeat, so that a fresh replacement may rescue.
    """
    beating = workers.c.ended_at.is_(None) & workers.c.heartbeat_at.between(at - HEARTBEAT_GAP, at)
    since = connection.execute(select(func.min(workers.c.beating_since)).where(beating)).scalar_one()
    row = insert_for(connection.dialect.name)(workers).values(
        started_at=at, heartbeat_at=at, beating_since=since or at, **worker
    )
    connection.execute(row.on_conflict_do_nothing())


def record_heartbeat(
    connection: Connection,
    worker_id: str,
    at: datetime,
    loop_lag_s: float = 0.0,
    hung_threads: int = 0,
    memory_bytes: int | None = None,
) -> bool:
    """Renew a worker's lease; return False if it was declared dead, and with it everything it runs."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    since = case((workers.c.heartbeat_at < at - HEARTBEAT_GAP, literal(at, Moment())), else_=workers.c.beating_since)
    told = {"loop_lag_s": loop_lag_s, "hung_threads": hung_threads, "memory_bytes": memory_bytes}
    renewed = living.values(heartbeat_at=at, beating_since=since, **told).returning(workers.c.id)
    return connection.execute(renewed).first() is not None


def record_ended(connection: Connection, worker_id: str, at: datetime, *, crashed: bool = False) -> None:
    """End a worker: in order or, with `crashed`, as a crash of everything it still runs."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    connection.execute(living.values(ended_at=at, declared_dead=int(crashed)))


def record_drain(connection: Connection, worker_id: str, at: datetime) -> bool:
    """Ask a living worker to take no new jobs; return False if there is none with this id. Safe to repeat."""
    living = update(workers).where(workers.c.id == worker_id, workers.c.ended_at.is_(None))
    drained = living.values(drain_at=func.coalesce(workers.c.drain_at, literal(at, Moment))).returning(workers.c.id)
    return connection.execute(drained).first() is not None


def record_worker_forgotten(connection: Connection, worker_id: str, at: datetime) -> bool:
    """Note that a dead worker need not be shown any more; return False if it is not dead. Safe to repeat."""
    dead = update(workers).where(workers.c.id == worker_id, workers.c.declared_dead == 1)
    forgotten = dead.values(forgotten_at=func.coalesce(workers.c.forgotten_at, literal(at, Moment))).returning(
        workers.c.id
    )
    return connection.execute(forgotten).first() is not None


def record_rescued(connection: Connection, rescued: Mapping[str, int]) -> None:
    """Count, by worker, the jobs that others took over. Only for display: a crash right before it loses the count."""
    for worker_id, count in rescued.items():
        of_it = update(workers).where(workers.c.id == worker_id)
        connection.execute(of_it.values(rescued=workers.c.rescued + count))


def record_dead(connection: Connection, rescuer: str, at: datetime) -> list[str]:
    """Declare dead the workers that have been silent for `SILENT_AFTER`; return their ids.

    Only a rescuer whose own heartbeat has been unbroken for as long may do so: right after an outage of the database or
    a suspension of the machine, everybody looks dead.
    """
    itself = workers.alias("rescuer")
    may_say_so = exists().where(
        itself.c.id == rescuer,
        itself.c.ended_at.is_(None),
        itself.c.heartbeat_at >= at - HEARTBEAT_GAP,
        itself.c.beating_since <= at - SILENT_AFTER,
    )
    declared = update(workers).where(is_silent(at), may_say_so).values(ended_at=at, declared_dead=1)
    return list(connection.execute(declared.returning(workers.c.id)).scalars())
