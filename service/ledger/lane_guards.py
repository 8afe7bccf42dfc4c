"""Conditions on a job's lanes."""

from typing import Any

from sqlalchemy import ColumnElement, String, and_, exists, func, literal_column, or_, select

from service.ledger.guards import found_by_state
from service.ledger.states import IN_TURN
from service.tables import jobs, lanes, lanes_epoch


def are_lanes_of(epoch: ColumnElement[str]) -> ColumnElement[bool]:
    """Ask whether Redis' lanes are still the ones of `epoch`, and keep them so until the transaction ends.

    A rebuild changes this row before it reads what runs: it sees the start, or the start sees the new epoch. SQLite has
    one writer at a time, and needs no lock for that.
    """
    return exists(select(lanes_epoch.c.id).where(lanes_epoch.c.epoch == epoch).with_for_update(read=True))


def are_lanes_of_claim(first: ColumnElement[Any], second: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ask whether the row's lanes are the ones from which it was claimed. True as well if the claim named none.

    An arq client's id is claimed from one lane, and enters no other.
    """
    own = [func.coalesce(column, "") for column in (jobs.c.lane, jobs.c.kind_lane)]
    claimed = (first, func.coalesce(second, ""))
    came_in = jobs.c.arq_id.is_not(None) | and_(*(column.in_(("", *claimed)) for column in own))
    return first.is_(None) | (first.in_(own) & (second.is_(None) | second.in_(own)) & came_in)


def is_paused(at: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ask whether the row's kind or its queue is paused."""
    keys = [literal_column(f"'{sort}:'", String) + column for sort, column in _PAUSED_BY.items()]
    holds = (lanes.c.paused == 1) & (lanes.c.paused_until.is_(None) | (lanes.c.paused_until > at))
    return exists(select(lanes.c.key).where(lanes.c.key.in_(keys), holds))


_PAUSED_BY = {"kind": jobs.c.kind, "queue": jobs.c.queue}


def is_behind(*keys: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ask whether any of these lanes that is not null has a live job enqueued before this row."""
    return or_(*(exists(_earlier(column, keys)) for column in ("lane", "kind_lane")))


def _earlier(column: str, keys: tuple[ColumnElement[Any], ...]) -> Any:
    earlier = jobs.alias(f"earlier_in_{column}")
    lane = earlier.c[column]
    return select(earlier.c.id).where(
        lane.in_(keys), lane.is_not(None), earlier.c.lane_seq < jobs.c.lane_seq, found_by_state(*IN_TURN, of=earlier)
    )
