"""Writes of the trail: simultaneous writes share a transaction, and each is safe to repeat."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, update

from service.access_tables import trail
from service.ledger.rows import insert_for
from service.trail.entries import Begun, Ended, Ending


def record_begun(connection: Connection, begun: Sequence[Begun]) -> Sequence[None]:
    """Note that actions begin."""
    new = insert_for(connection.dialect.name)(trail).on_conflict_do_nothing()
    connection.execute(new, [asdict(one) | {"ending": Ending.UNKNOWN} for one in begun])
    return [None] * len(begun)


def record_ended(connection: Connection, ended: Sequence[Ended]) -> Sequence[None]:
    """Record how actions ended, each once."""
    names = ("target", "ending", "before", "after", "refused")
    begun = (trail.c.id == bindparam("of")) & (trail.c.ending == Ending.UNKNOWN)
    statement = update(trail).where(begun).values({name: bindparam(f"its_{name}") for name in names})
    rows = [{"of": one.id} | {f"its_{name}": getattr(one, name) for name in names} for one in ended]
    connection.execute(statement, rows)
    return [None] * len(ended)
