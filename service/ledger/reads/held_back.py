"""What holds jobs back on purpose: pauses, and breakers that are not closed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from jobs.kit.lane import RESERVED_PREFIXES
from service.lane_rules import Rule
from service.ledger.reads.lanes import rule_of
from service.tables import lanes

# How many of each sort are named; all of them are counted.
MOST_NAMED = 20
# What lanes lead to, by the beginning of their keys; any other lane is `other`.
CLASSES = ("host", "smtp", "app")
_OTHER = "other"
_UNTRIED_FOR = timedelta(hours=1)


class HeldBack(NamedTuple):
    """What is paused now, and which breakers are not closed; lanes are the first ones, ordered by key.

    `held_by_class` counts the lanes that a breaker holds by what they lead to, leaving out breakers forced closed.
    """

    kinds_and_queues: Sequence[Rule]
    lanes: Sequence[Rule]
    breakers: Sequence[Rule]
    lanes_count: int
    breakers_count: int
    held_by_class: Mapping[str, int]


async def held_back(connection: AsyncConnection, now: datetime) -> HeldBack:
    """Return what is paused now, and which breakers are open, half open or forced.

    An open breaker without a probe for a long time holds nothing back: its lane has no jobs.
    """
    is_paused = and_(lanes.c.paused == 1, or_(lanes.c.paused_until.is_(None), lanes.c.paused_until > now))
    is_tried = or_(lanes.c.breaker_until.is_(None), lanes.c.breaker_until > now - _UNTRIED_FOR)
    is_broken = or_(and_(lanes.c.breaker_state != "closed", is_tried), lanes.c.breaker_forced.is_not(None))
    is_lane = ~or_(*map(_begins, RESERVED_PREFIXES))
    is_held = and_(is_broken, func.coalesce(lanes.c.breaker_forced, "") != "closed")
    by_class = [_count(and_(is_held, _begins(f"{of}:"))) for of in CLASSES]
    counted = select(_count(and_(is_lane, is_paused)), _count(is_broken), _count(is_held), *by_class)
    lanes_count, breakers_count, held_count, *held = (await connection.execute(counted)).one()

    async def first(condition: ColumnElement[bool], limit: int | None = MOST_NAMED) -> Sequence[Rule]:
        found = select(lanes).where(condition).order_by(lanes.c.key).limit(limit)
        return [rule_of(row) for row in await connection.execute(found)]

    return HeldBack(
        kinds_and_queues=await first(and_(~is_lane, is_paused), None),
        lanes=await first(and_(is_lane, is_paused)) if lanes_count else (),
        breakers=await first(is_broken) if breakers_count else (),
        lanes_count=lanes_count,
        breakers_count=breakers_count,
        held_by_class={**dict(zip(CLASSES, held, strict=True)), _OTHER: held_count - sum(held)},
    )


def _begins(prefix: str) -> ColumnElement[bool]:
    return func.substr(lanes.c.key, 1, len(prefix)) == prefix


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
