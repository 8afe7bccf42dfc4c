"""Series of the job system's own figures: how jobs of a kind ended, waited and ran.

They are read from the tables that workers and the leader fill for pages and /metrics, so they cost jobs nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.histogram import SIZE, added
from service.ledger.reads.figures import Quantiles, growth, histograms, quantiles_of
from service.stats.asked import Span, refused
from service.stats.buckets import Size, place_of
from service.stats.series import Series, placed

MEASURES = ("wait", "run", "total")


@dataclass(frozen=True, slots=True)
class DurationSeries:
    bounds: Sequence[datetime]
    buckets: Sequence[Quantiles]
    whole: Quantiles


async def read_events(connection: AsyncConnection, size: Size, span: Span, kind: str, event: str) -> Series:
    """Count what happened to jobs of a kind; '' stands for all kinds."""
    bounds = span.bounds(size)
    grown = await growth(connection, [event], since=bounds[0], until=bounds[-1], kinds=[kind])
    return Series(bounds, placed(((at, number) for _, at, number in grown), bounds))


async def read_durations(
    connection: AsyncConnection, size: Size, span: Span, kind: str, measure: str
) -> DurationSeries:
    """Return how long attempts waited and ran, and how long jobs took in all."""
    if size is Size.MINUTE:
        raise refused("bucket", "Waiting and running times are kept by the quarter of an hour. Ask for `bucket=15m`.")
    bounds = span.bounds(size)
    sums: list[tuple[list[int], float]] = [([0] * SIZE, 0.0) for _ in bounds]
    for at, counts, sum_s in await histograms(connection, kind, measure, since=bounds[0], until=bounds[-1]):
        for place in (place_of(at, bounds), len(bounds) - 1):  # the last place is for all buckets together
            known, known_s = sums[place]
            sums[place] = added(known, counts), known_s + sum_s
    *buckets, whole = (quantiles_of(*one) for one in sums)
    return DurationSeries(bounds, buckets, whole)
