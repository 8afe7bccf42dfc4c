"""How a kind's jobs went, hour by hour: the stats of the subject `kind:<name>`, side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.histogram import SIZE, added
from service.ledger.reads.figures import Quantiles, Series, histograms, quantiles_of

HOUR = timedelta(hours=1)
_MEASURES = ("wait", "run")


@dataclass(frozen=True, slots=True)
class Hour:
    """What happened in an hour, and how long its attempts waited and ran."""

    at: datetime
    counts: Mapping[str, int]
    wait: Quantiles
    run: Quantiles


async def read_hours(connection: AsyncConnection, name: str, counted: Series) -> Sequence[Hour]:
    """Return the hours of an hourly series, latest first, including hours in which nothing happened."""
    length = len(next(iter(counted.counts.values())))
    sums = {measure: [([0] * SIZE, 0.0) for _ in range(length)] for measure in _MEASURES}
    for measure in _MEASURES:
        for at, counts, sum_s in await histograms(connection, name, measure, since=counted.start, until=counted.until):
            place = (at - counted.start) // counted.step
            before, before_s = sums[measure][place]
            sums[measure][place] = added(before, counts), before_s + sum_s
    return [
        Hour(
            counted.start + place * counted.step,
            {event: counts[place] for event, counts in counted.counts.items()},
            *(quantiles_of(*sums[measure][place]) for measure in _MEASURES),
        )
        for place in reversed(range(length))
    ]
