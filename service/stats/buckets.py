"""Buckets of time: the ones that counts are kept by, and those of any time zone's calendar. Pure.

Counts are kept by the quarter of an hour, from which the hours and days of every zone can be made: the clocks of
zones differ by whole quarters.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)
MOST_BUCKETS = 10_000
_DAY = timedelta(days=1)


class TooManyBuckets(ValueError):
    """A series would have more than 10,000 buckets."""


class Size(StrEnum):
    MINUTE = "minute"
    QUARTER = "15m"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def start_of(at: datetime, step: timedelta) -> datetime:
    """Return the beginning of the minute or quarter that a moment is in, in UTC."""
    # In UTC first: in a zone, a difference is one of wall clocks, and forgets which of two equal hours it began in.
    at = at.astimezone(UTC)
    return at - (at - EPOCH) % step


def bounds(size: Size, zone: ZoneInfo, since: datetime, until: datetime) -> list[datetime]:
    """Return where each bucket begins, first to last, and then where the last one ends. All in UTC.

    The first bucket is the one that `since` is in, the last one ends at `until` or later. Days, weeks (from Monday) and
    months are those of the zone's calendar: a day has 23 or 25 hours when the clocks change, and one that the zone
    skipped is left out. So is a skipped hour; one that the clocks show twice appears twice. Raises `TooManyBuckets`.
    """
    found: list[datetime] = []
    for start in _starts(size, zone, since):
        if found and start == found[-1]:
            continue
        found.append(start)
        if start >= until:
            return found
        if len(found) > MOST_BUCKETS:
            break
    raise TooManyBuckets


def place_of(at: datetime, found: Sequence[datetime]) -> int:
    """Return the index of the bucket that a moment is in."""
    return bisect_right(found, at) - 1


def _starts(size: Size, zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    match size:
        case Size.MINUTE:
            return _steps(since, MINUTE)
        case Size.QUARTER:
            return _steps(since, QUARTER)
        case Size.HOUR:
            return _hours(zone, since)
        case _:
            days = _days(size, since.astimezone(zone).date())
            return (first_instant(zone, datetime.combine(day, time())) for day in days)


def _steps(since: datetime, step: timedelta) -> Iterator[datetime]:
    at = start_of(since, step)
    while True:
        yield at
        at += step


def _hours(zone: ZoneInfo, since: datetime) -> Iterator[datetime]:
    """Step by quarters, because the clocks of some zones change by half an hour, or in mid-hour."""

    def shown(at: datetime) -> tuple[date, int, timedelta | None]:
        local = at.astimezone(zone)
        return local.date(), local.hour, local.utcoffset()

    at = start_of(since, QUARTER)
    hour = shown(at)
    while shown(at - QUARTER) == hour:
        at -= QUARTER
    while True:
        yield at
        while shown(at) == hour:
            at += QUARTER
        hour = shown(at)


def _days(size: Size, day: date) -> Iterator[date]:
    if size is Size.MONTH:
        day = day.replace(day=1)
    elif size is Size.WEEK:
        day -= day.weekday() * _DAY
    while True:
        yield day
        if size is Size.MONTH:
            day = (day + 31 * _DAY).replace(day=1)
        else:
            day += 7 * _DAY if size is Size.WEEK else _DAY


def first_instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """Return when the clocks of a zone first show `wall` or, if they skip it, the first later time."""

    def shown(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None)

    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if shown(first) == wall:
        return first
    # Within a gap, these two are before and after the moment when the clocks change (PEP 495).
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    minutes = range((first - before) // MINUTE + 1)
    return before + MINUTE * bisect_left(minutes, True, key=lambda minute: shown(before + MINUTE * minute) >= wall)
