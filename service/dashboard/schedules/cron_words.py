"""Cron expressions in English: `30 4 * * *` is "Every day at 04:30".

The most common expressions have their own words; everything else is left to cron-descriptor.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cron_descriptor import (  # type: ignore[import-untyped]
    FormatException,
    MissingFieldException,
    Options,
    WrongArgumentException,
    get_description,
)

from jobs.kit.cron import NAMED

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SHORT_DAYS = {day[:3].upper(): number for number, day in enumerate(_DAYS[:7])}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SHORT_MONTHS = {month[:3].upper(): number for number, month in enumerate(_MONTHS, 1)}
_NUMBER = re.compile(r"\d{1,2}")
_STEP = re.compile(r"\*/(\d{1,2})")
_RANGE = re.compile(r"(\w{1,3})-(\w{1,3})")
_MOST_TIMES = 4
_OPTIONS = Options()
_OPTIONS.use_24hour_time_format = True


@lru_cache(maxsize=1024)
def in_words(expression: str) -> str | None:
    """Say when an expression is due; None if there are no words for it."""
    fields = NAMED.get(expression.strip().lower(), expression).split()
    if len(fields) == 6 and fields[0] == "0":
        fields = fields[1:]
    return (_own(fields) if len(fields) == 5 else None) or _told(fields)


def in_zone(moments: Sequence[datetime], time_zone: str) -> list[tuple[datetime, str]]:
    """Return moments with the local time of a zone: `Fri 27 Nov 2026, 04:30 CET`, with seconds if any."""
    shown = [moment.astimezone(ZoneInfo(time_zone)) for moment in moments]
    seconds = any(moment.second for moment in shown)
    return [
        (moment, f"{at:%a} {at.day} {at:%b %Y, %H:%M}{f':{at:%S}' if seconds else ''} {_zone_of(at)}")
        for moment, at in zip(moments, shown, strict=True)
    ]


def _zone_of(at: datetime) -> str:
    """Return the name of a moment's zone: `CET`, or `UTC+03` if it has only digits."""
    name = f"{at:%Z}"
    return name if name.isalpha() else f"UTC{name}"


def _own(fields: list[str]) -> str | None:
    minute, hour, *rest = fields
    days = _days(*rest)
    if days is None:
        return None
    if (times := _times(minute, hour)) is not None:
        return f"{days or 'Every day'} at {times}"
    often = _often(minute, hour)
    return None if often is None else f"{often}{', ' + _lowered(days) if days else ''}"


def _times(minute: str, hour: str) -> str | None:
    """Name the times of a day: `04:30`, `08:00, 12:00 and 16:00`."""
    minutes, hours = _numbers(minute), _numbers(hour)
    if not minutes or not hours or len(minutes) * len(hours) > _MOST_TIMES:
        return None
    return _and([f"{one:02}:{other:02}" for one in hours for other in minutes])


def _often(minute: str, hour: str) -> str | None:
    """Say how often within a day: `Every 5 minutes`, `Every hour from 00:00 to 06:00`."""
    if minute == "*" and hour == "*":
        return "Every minute"
    every, at = _STEP.fullmatch(minute), _NUMBER.fullmatch(minute)
    if every and hour == "*":
        return f"Every {every[1]} minutes"
    if at is None:
        return None
    if hour == "*":
        return f"Every hour, at minute {int(minute)}"
    if hours := _STEP.fullmatch(hour):
        return f"Every {hours[1]} hours, at minute {int(minute)}"
    if (hours := _RANGE.fullmatch(hour)) and hours[1].isdigit() and hours[2].isdigit():
        return f"Every hour from {int(hours[1]):02}:{int(minute):02} to {int(hours[2]):02}:{int(minute):02}"
    return None


def _days(day: str, month: str, weekday: str) -> str | None:
    """Name the days; "" means every day, None that there are no words for them here."""
    match day, month, weekday:
        case "*", "*", "*":
            return ""
        case "*", "*", _:
            return _weekdays(weekday)
        case _, "*", "*":
            return None if (days := _month_days(day)) is None else f"Every month on the {days}"
        case _, _, "*" if (name := _name(month, _SHORT_MONTHS, _MONTHS, first=1)) and day.isdigit():
            return f"Every year on {int(day)} {name}"
    return None


def _weekdays(field: str) -> str | None:
    if ends := _RANGE.fullmatch(field):
        names = [_name(end, _SHORT_DAYS, _DAYS) for end in ends.groups()]
        return None if None in names else f"{names[0]} to {names[1]}"
    names = [_name(one, _SHORT_DAYS, _DAYS) for one in field.split(",")]
    known = [name for name in names if name is not None]
    return f"Every {_and(known)}" if len(known) == len(names) else None


def _month_days(field: str) -> str | None:
    if field == "L":
        return "last day"
    days = _numbers(field)
    return _and([_ordinal(day) for day in days]) if days else None


def _name(text: str, shorts: dict[str, int], names: tuple[str, ...], *, first: int = 0) -> str | None:
    number = int(text) if text.isdigit() else shorts.get(text.upper())
    return names[number - first] if number is not None and first <= number < len(names) + first else None


def _numbers(field: str) -> list[int]:
    parts = field.split(",")
    return sorted({int(part) for part in parts}) if all(_NUMBER.fullmatch(part) for part in parts) else []


def _ordinal(day: int) -> str:
    return f"{day}{'th' if 11 <= day <= 13 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _lowered(words: str) -> str:
    """Return words for the middle of a sentence; names of days stay as they are."""
    return f"e{words[1:]}" if words.startswith("Every") else words


def _told(fields: list[str]) -> str | None:
    try:
        told: str = get_description(" ".join(fields), _OPTIONS)
    except (FormatException, MissingFieldException, WrongArgumentException):
        return None
    day, weekday = fields[-3], fields[-1]
    # If both day fields are set, either may match, unless one begins with `*`: then both must.
    both = day.startswith("*") or weekday.startswith("*")
    return told.replace(", or on ", ", and only on ") if both else told
