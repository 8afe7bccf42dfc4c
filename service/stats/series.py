"""Series: what was counted in each bucket of a calendar, with none left out."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy.ext.asyncio import AsyncConnection

from service.stats import sketch
from service.stats.asked import Span, refused
from service.stats.buckets import Size, place_of
from service.stats.reads import Wanted, counts_by_time, sketches_by_time

_MINUTES_SHOWN = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class Series:
    """`bounds` has one more moment than there are counts: where the last bucket ends."""

    bounds: Sequence[datetime]
    counts: Sequence[int]
    uniques: Sequence[int] | None = None
    unique: int | None = None


def check_minutes(size: Size, span: Span, now: datetime) -> None:
    """Refuse minutes that are no longer kept."""
    if size is Size.MINUTE and span.since < now - _MINUTES_SHOWN - timedelta(minutes=1):
        raise refused("bucket", "Minutes are kept for 48 hours. Ask for `bucket=15m`, or for a later `from`.")


async def read_series(
    connection: AsyncConnection, size: Size, span: Span, subject: str | None, event: str | None, *, unique: bool
) -> Series:
    """Count by time; with `unique` also how many different ids were counted, which takes buckets of 15 minutes."""
    bounds = span.bounds(size)
    wanted = Wanted(subject, event, bounds[0], bounds[-1])
    counts = placed(await counts_by_time(connection, size, wanted), bounds)
    if not unique:
        return Series(bounds, counts)
    uniques = _Uniques(bounds)
    async for some in sketches_by_time(connection, wanted):
        await asyncio.to_thread(uniques.add, some)
    return Series(bounds, counts, *uniques.ended())


def placed(counted: Iterable[tuple[datetime, int]], bounds: Sequence[datetime]) -> list[int]:
    """Add up counts by bucket."""
    counts = [0] * (len(bounds) - 1)
    for at, number in counted:
        counts[place_of(at, bounds)] += number
    return counts


class _Uniques:
    """Merges sketches that come in the order of their times."""

    def __init__(self, bounds: Sequence[datetime]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) - 1)
        self._place, self._of_bucket, self._of_all = 0, sketch.EMPTY, sketch.EMPTY

    def add(self, some: Sequence[tuple[datetime, bytes]]) -> None:
        for place, group in groupby(some, lambda row: place_of(row[0], self._bounds)):
            if place != self._place:
                self._end_bucket()
                self._place = place
            self._of_bucket = sketch.merged([self._of_bucket, *(sketch.unpacked(kept) for _, kept in group)])

    def ended(self) -> tuple[list[int], int]:
        """Return how many different ids there were in each bucket, and in all of them."""
        self._end_bucket()
        return self._counts, sketch.estimate(self._of_all)

    def _end_bucket(self) -> None:
        self._counts[self._place] = sketch.estimate(self._of_bucket)
        self._of_all = sketch.merged([self._of_all, self._of_bucket])
        self._of_bucket = sketch.EMPTY
