"""What a request for counts by time asks for: which time, in which buckets of which time zone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from jobs.kit.cron import CronInvalid, zone_named
from service.errors import Refused, TimeZoneInvalid
from service.moments import Moment
from service.stats.buckets import MOST_BUCKETS, QUARTER, Size, TooManyBuckets, bounds, first_instant, start_of

BY_DEFAULT = timedelta(days=1)
# Far from the ends of the calendar, where a bucket has no next one.
_YEARS = range(1900, 2201)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?", re.ASCII)
_WANTED = "must be a time such as 2026-01-31T12:00:00Z, or a day or time of the zone `tz`, such as 2026-01-31"
_moment: TypeAdapter[datetime] = TypeAdapter(Moment)


@dataclass(frozen=True, slots=True)
class Span:
    """The time between two moments, in UTC, and the zone whose calendar counts."""

    since: datetime
    until: datetime
    zone: ZoneInfo

    def bounds(self, size: Size) -> Sequence[datetime]:
        """Return where its buckets begin, and where the last one ends. Raises `Refused`."""
        try:
            return bounds(size, self.zone, self.since, self.until)
        except TooManyBuckets as error:
            text = f"This would be more than {MOST_BUCKETS:,} buckets. Ask for a shorter time or for larger buckets."
            raise refused("bucket", text) from error

    @property
    def quarters(self) -> tuple[datetime, datetime]:
        """Return the start and end of all quarters of an hour that overlap the span."""
        return start_of(self.since, QUARTER), start_of(self.until + QUARTER - timedelta.resolution, QUARTER)


def span_of(since: str | None, until: str | None, zone_name: str, now: datetime) -> Span:
    """Read `from`, `to` and `tz`; by default the latest 24 hours. Raises `Refused`."""
    try:
        zone = zone_named(zone_name)
    except CronInvalid as error:
        raise refused("tz", f"{error}.", as_=TimeZoneInvalid) from error
    end = now if until is None else _read("to", until, zone)
    start = end - BY_DEFAULT if since is None else _read("from", since, zone)
    if start >= end:
        raise refused("from", "`from` must be before `to`.")
    return Span(start, end, zone)


def refused(name: str, text: str, *, as_: type[Refused] = Refused) -> Refused:
    return as_(text, errors=[{"loc": ["query", name], "msg": text, "type": "value_error"}])


def _read(name: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        if _LOCAL.fullmatch(text):
            moment = first_instant(zone, datetime.fromisoformat(text))
        else:
            moment = _moment.validate_python(text)
    except (ValidationError, ValueError, OverflowError) as error:
        raise refused(name, f"`{name}` {_WANTED}.") from error
    if moment.year not in _YEARS:
        raise refused(name, f"`{name}` must be between the years {_YEARS[0]} and {_YEARS[-1]}.")
    return moment.astimezone(UTC)
