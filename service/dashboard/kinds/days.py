"""How many jobs there were, day by day: of one kind, or of all kinds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.reads.figures import totals_by_time

DAYS = 30
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """What happened from a midnight of UTC to the next one."""

    at: datetime
    counts: Mapping[str, int]


async def read_days(connection: AsyncConnection, name: str, events: Collection[str], now: datetime) -> Sequence[Day]:
    """Return the latest days, latest first, back to the first day on which anything happened."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    bounds = [today - number * _DAY for number in range(DAYS - 1, -2, -1)]
    totals = await totals_by_time(connection, [(name, event, at) for event in events for at in bounds])

    def grown(event: str, began: datetime, ended: datetime) -> int:
        return max(0, totals.get((name, event, ended), 0) - totals.get((name, event, began), 0))

    days = [Day(bound[0], {event: grown(event, *bound) for event in events}) for bound in pairwise(bounds)]
    first = next((place for place, day in enumerate(days) if any(day.counts.values())), len(days))
    return days[first:][::-1]
