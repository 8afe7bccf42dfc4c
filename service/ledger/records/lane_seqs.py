"""A job's place in the order of its lanes: each number is taken once, and grows from one transaction to the next."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, String, bindparam, column, func, select, update

from service.ledger.rows import found_by, insert_for, parameter, unfold
from service.tables import jobs, lane_counter, lane_sequence


def take_lane_seqs(connection: Connection, count: int) -> list[int]:
    """Take the next `count` numbers, in order."""
    if connection.dialect.name != "sqlite":
        return list(connection.execute(_next_of_sequence(), {"count": count}).scalars())
    latest: int = connection.execute(_next_of_counter(), {"count": count}).scalar_one()
    return list(range(latest - count + 1, latest + 1))


def move_to_the_end(connection: Connection, ids: Sequence[str]) -> None:
    """Put jobs last in their lanes, in the given order."""
    seqs = take_lane_seqs(connection, len(ids))
    rows = parameter([{"id": job_id, "seq": seq} for job_id, seq in zip(ids, seqs, strict=True)])
    connection.execute(_move(connection.dialect.name), rows)


# Building these statements for each enqueue would cost more than executing them.
@cache
def _next_of_sequence() -> Any:
    numbers = func.generate_series(1, bindparam("count", type_=Integer)).table_valued(column("number", Integer))
    return select(lane_sequence.next_value()).select_from(numbers)


@cache
def _next_of_counter() -> Any:
    counter = insert_for("sqlite")(lane_counter).values(id=1, latest=bindparam("count", type_=BigInteger))
    more = {"latest": lane_counter.c.latest + counter.excluded.latest}
    return counter.on_conflict_do_update(index_elements=["id"], set_=more).returning(lane_counter.c.latest)


@cache
def _move(dialect: str) -> Any:
    moved = unfold(dialect, "moved", {"id": String(255), "seq": BigInteger()})
    return update(jobs).where(found_by(dialect, jobs.c.id, moved.c.id)).values(lane_seq=moved.c.seq)
