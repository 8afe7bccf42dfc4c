"""Cron expressions: when they are due, in any time zone."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from cronsim.cronsim import FIELD_NAMES, Field

from jobs.kit.names import nearest

LONGEST_EXPRESSION = 200
LONGEST_ZONE = 100
NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
# Files beside the zones, which differ from machine to machine.
_OF_A_MACHINE = ("localtime", "posixrules", "Factory")
_OTHER_CLOCKS = ("right/", "posix/")
# What each field takes, for whoever wrote something else.
_TAKES = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L or LW",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, SUN to SAT, MON#1 or 5L",
}
# As the end of a range Sunday is the 7th day, as in other crons: MON-SUN. CronSim knows it only as the first one.
_TO_SUNDAY = re.compile(r"\b0*([1-6]|MON|TUE|WED|THU|FRI|SAT)-SUN\b", re.ASCII | re.IGNORECASE)
# `3-3/2` is 3. CronSim reads each single value before a step as the start of a range: 3, 5, 7, and so on.
_RANGE_OF_ONE = re.compile(r"0*(\d+|[A-Z]{3})-0*\1/(?=\d*[1-9])\d+", re.ASCII | re.IGNORECASE)
# Values or not, with or without a step.
_RANGE = re.compile(r"(\w+)-(\w+)(/.*)?")
# Zones resemble one another, so only a name that differs by little is taken for another.
_NEAR_ENOUGH = 0.8
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_INSTANT = timedelta(microseconds=1)
_SECOND_DAY = datetime(1, 1, 2, tzinfo=UTC)
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
# Years of every sort: with and without 29 February, beginning on each day of the week.
_YEARS_OF_ALL_SORTS = range(2000, 2028)


class CronInvalid(ValueError):
    """An expression or a time zone cannot be used; the message says why."""


@dataclass(frozen=True)
class Expression:
    """An expression in a time zone. All times it takes and gives are in UTC.

    Five fields with fixed hours and minutes name times of day: such a time comes once each day. A time that the clock
    skips comes when the clock has moved on, and a time that the clock shows twice comes the first time. All other
    expressions go by the clock: a time that it skips never comes, and a time that it shows twice comes twice.
    """

    text: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times after `moment`, until the calendar ends."""
        # Before its second day, the first year has not begun in every zone.
        moment = max(moment.astimezone(UTC), _SECOND_DAY)
        coming = self._times_of_day_after if _fields(self.text).name_times_of_day else self._shown_after
        with suppress(OverflowError):  # the calendar has ended, in UTC or in the zone
            yield from coming(moment)

    def between(self, since: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the due times after `since`, up to and including `until`: the latest `most` of them, oldest first."""
        back = timedelta(hours=1)
        while True:
            begin = max(since, until - back)
            found = deque(takewhile(until.__ge__, self.after(begin)), most)
            if len(found) == most or begin == since:
                return list(found)
            back *= 4

    def _times_of_day_after(self, moment: datetime) -> Iterator[datetime]:
        shown = moment.astimezone(self.zone).replace(tzinfo=None)
        latest = moment
        for local in _fields(self.text).after(shown):
            due = _first_shown(local, self.zone)
            if due > latest:
                yield due
                latest = due

    def _shown_after(self, moment: datetime) -> Iterator[datetime]:
        """Walk through pieces of time in which the clock does not change."""
        fields = _fields(self.text)
        begin = moment + _INSTANT
        while True:
            offset = _offset(begin, self.zone)
            shown = begin.replace(tzinfo=None) + offset - _INSTANT
            coming = next(fields.after(shown), None)
            if coming is None:
                return
            if coming - shown > 3 * _DAY:  # nothing can come before, however the clock changes
                begin += coming - shown - 2 * _DAY
                continue
            end = _unchanged_until(begin, begin + _DAY, self.zone)
            last = end.replace(tzinfo=None) + offset
            for local in takewhile(last.__gt__, fields.after(shown)):
                yield (local - offset).replace(tzinfo=UTC)
            begin = end


def expression(text: str, time_zone: str = "UTC") -> Expression:
    """Read an expression. Raises `CronInvalid` for one that cannot be read or never comes due."""
    check_expression(text)
    return Expression(text, zone_named(time_zone))


def check_expression(text: str) -> None:
    """Raise `CronInvalid` for an expression that cannot be read or never comes due."""
    _fields(text)


class _Fields:
    """The fields of an expression, by the calendar and without time zones."""

    def __init__(self, text: str) -> None:
        written = NAMED.get(text.strip().lower(), text)
        fields = written.split()
        try:
            self._parsed = CronSim(_for_cronsim(fields), _SOME_TIME)
        except CronSimError as error:
            raise CronInvalid(_told(error, fields)) from error
        self._seconds = sorted(self._parsed.seconds)
        self._minutes = sorted(self._parsed.minutes)
        self._hours = sorted(self._parsed.hours)
        # As Debian's cron distinguishes them.
        self.name_times_of_day = len(fields) == 5 and not any(field.startswith("*") for field in fields[:2])
        years = ((date(year, 1, 1), date(year + 1, 1, 1)) for year in _YEARS_OF_ALL_SORTS)
        if not any(next(self._days(*year), None) for year in years):
            raise CronInvalid("it never comes due")

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield all times after `moment`, without time zones."""
        for day in self._days(moment.date(), date.max):
            beyond = moment.time() if day == moment.date() else None
            for moment_of_day in self._times(beyond):
                yield datetime.combine(day, moment_of_day)

    def _days(self, day: date, end: date) -> Iterator[date]:
        while day < end:
            if day.month not in self._parsed.months:
                day = (day.replace(day=1) + timedelta(days=32)).replace(day=1) if day < date(9999, 12, 1) else end
                continue
            if self._parsed.match_day(day):
                yield day
            day += _DAY

    def _times(self, beyond: time | None) -> Iterator[time]:
        for hour in self._hours:
            if beyond is not None and hour < beyond.hour:
                continue
            for minute in self._minutes:
                if beyond is not None and (hour, minute) < (beyond.hour, beyond.minute):
                    continue
                for second in self._seconds:
                    moment_of_day = time(hour, minute, second)
                    if beyond is None or moment_of_day > beyond:
                        yield moment_of_day


def _for_cronsim(fields: list[str]) -> str:
    *others, weekday = map(_without_ranges_of_one, fields or [""])
    return " ".join([*others, _TO_SUNDAY.sub(r"\1-7", weekday)])


def _without_ranges_of_one(field: str) -> str:
    return ",".join(match[1] if (match := _RANGE_OF_ONE.fullmatch(one)) else one for one in field.split(","))


def _told(error: CronSimError, fields: list[str]) -> str:
    """Say which field is wrong, and what it takes, or how many there must be."""
    if not 5 <= len(fields) <= 6:
        count = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        return f"it has {count}: write five, six that start with the second, or a name such as @daily"
    names = dict(zip(reversed(FIELD_NAMES), reversed(fields), strict=False))
    wrong = next((name for name in names if str(error) == f"Bad {name}"), None)
    return str(error) if wrong is None else f"{error}: {names[wrong][:50]!r}; {_taken(wrong, names[wrong])}"


def _taken(name: str, field: str) -> str:
    """Say what a field takes; about ranges and steps only if it has one."""
    with suppress(CronSimError):
        if name == "day-of-month" and Field.DAY.parse(field.upper()):
            return "no month it names has that day"
    kind = Field(FIELD_NAMES.index(name))
    is_down = any(_descends(kind, one) for one in _for_cronsim([field]).upper().split(","))
    ascend = ", and a range must ascend" if is_down else ""
    return f"it takes {_TAKES[name]}{ascend}{', by steps of 1 or more' if '/' in field else ''}"


def _descends(field: Field, term: str) -> bool:
    """Whether a term is a range of values that the field takes, but from the higher to the lower."""
    ends = _RANGE.fullmatch(term)
    with suppress(CronSimError):
        return ends is not None and field.int(ends[1]) > field.int(ends[2])
    return False


@lru_cache(maxsize=1024)
def _fields(text: str) -> _Fields:
    if len(text) > LONGEST_EXPRESSION:
        raise CronInvalid(f"it has more than {LONGEST_EXPRESSION} characters")
    return _Fields(text)


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database. Raises `CronInvalid`."""
    if name in _OF_A_MACHINE or name.startswith(_OTHER_CLOCKS):
        raise _no_zone(name)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise _no_zone(name) from error


def _no_zone(name: str) -> CronInvalid:
    near = _nearest_zone(name) if "/" in name and len(name) <= LONGEST_ZONE else None
    remedy = f" (did you mean {near}?)" if near else ": write it as Europe/Berlin"
    return CronInvalid(f"there is no time zone {name[:LONGEST_ZONE]!r}{remedy}")


@lru_cache(maxsize=256)
def _nearest_zone(name: str) -> str | None:
    """Return the zone that a misspelt name probably stands for. Kept, because to look takes milliseconds."""
    return nearest(name, _zones(), _NEAR_ENOUGH)


@cache
def _zones() -> frozenset[str]:
    """Return the names of the zones of places. It reads hundreds of files, but only after a wrong name, and once."""
    return frozenset(zone for zone in available_timezones() if "/" in zone)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _first_shown(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock first shows `local` or, if it skips that time, a later one."""
    due = local.replace(tzinfo=zone).astimezone(UTC)
    if due.astimezone(zone).replace(tzinfo=None) == local:
        return due
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _unchanged_until(before, due, zone)


def _unchanged_until(moment: datetime, end: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock first changes after `moment`; `end` if it has not changed by then."""
    offset = _offset(moment, zone)
    if _offset(end, zone) == offset:
        return end
    low, high = moment.replace(microsecond=0), end.replace(microsecond=0)
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        low, high = (middle, high) if _offset(middle, zone) == offset else (low, middle)
    return high
