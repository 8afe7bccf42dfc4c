"""The words behind the pages' figures: counts, spans, moments, rates and sizes, as a colleague would say them."""

import re
from datetime import UTC, datetime

from service.words import counted as counted

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
# How many digits of an estimate to show; more would look exact.
_DIGITS_OF_AN_ESTIMATE = 2
_UNKNOWN = "\N{EN DASH}"
_IS_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def count_text(count: int | None, *, about: bool = False) -> str:
    """Return a count with thousands; `about` says that it is an estimate."""
    if count is None:
        return _UNKNOWN
    if not about:
        return f"{count:,}"
    digits = max(len(str(abs(count))) - _DIGITS_OF_AN_ESTIMATE, 0)
    return f"about {round(count, -digits):,}"


def span_text(seconds: float | None) -> str:
    """Return a span of time in at most two units: `42 ms`, `0.6 s`, `1 min 16 s`, `2 h 5 min`, `6 days`."""
    if seconds is None:
        return _UNKNOWN
    seconds = max(seconds, 0)
    if round(seconds) < _MINUTE:
        return _seconds_text(seconds)
    for size, unit, smaller, smaller_unit in (
        (_DAY, " day", _HOUR, "h"),
        (_HOUR, " h", _MINUTE, "min"),
        (_MINUTE, " min", 1, "s"),
    ):
        whole, rest = divmod(round(seconds / smaller), size // smaller)
        if whole:
            named = f"{whole}{unit}" if unit != " day" else counted(whole, "day")
            return f"{named} {rest} {smaller_unit}" if rest else named
    raise AssertionError(seconds)


def _seconds_text(seconds: float) -> str:
    if 0 < seconds < 0.1:
        return f"{max(round(seconds * 1000), 1)} ms"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return f"{round(seconds)} s"


def rough_text(seconds: float) -> str:
    """Return a span in its largest unit, rounded down: `9 s`, `9 min`, `4 h`, `6 days`."""
    seconds = max(seconds, 0)
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min"
    if seconds < _DAY:
        return f"{int(seconds // _HOUR)} h"
    return counted(int(seconds // _DAY), "day")


def age_text(seconds: float | None) -> str:
    """Return how long something has been so: `0.6 s`, `9 min`."""
    return span_text(seconds) if seconds is None or seconds < _MINUTE else rough_text(seconds)


def ago(now: datetime, then: datetime) -> str:
    """Return how long ago `then` was."""
    seconds = (now - then).total_seconds()
    return "just now" if seconds < 1 else f"{rough_text(seconds)} ago"


def until(now: datetime, then: datetime) -> str:
    """Return how long it is until `then`; to the second if that is soon."""
    seconds = (then - now).total_seconds()
    if seconds < 1:
        return "now"
    return f"in {span_text(int(seconds)) if seconds < 10 * _MINUTE else rough_text(seconds)}"


def exact(moment: datetime) -> str:
    """Return a moment with its day, milliseconds and zone: `Wed 25 Nov 2026, 02:14:02.000 UTC`."""
    at = moment.astimezone(UTC)
    return f"{at:%a} {at.day} {at:%b %Y, %H:%M:%S}.{at.microsecond // 1000:03} UTC"


def short_id(job_id: str) -> str:
    """Return what tells ids apart that were made at one moment: a flow's differ where they count, others at the end."""
    if not _IS_UUID.fullmatch(job_id):
        return job_id[-12:]
    return f"{job_id[15:18]}{job_id[19]}\N{HORIZONTAL ELLIPSIS}{job_id[-8:]}"


def rate_text(per_second: float | None) -> str:
    """Return a number of jobs per second, without its unit."""
    if per_second is None:
        return _UNKNOWN
    if 0 < per_second < 0.095:
        return f"{per_second:.2f}"
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}"


def share_text(part: float, whole: float) -> str:
    """Return a share in per cent: `16 %`."""
    return f"{round(100 * part / whole)} %" if whole else _UNKNOWN


def bytes_text(size: int | None) -> str:
    """Return a size: `94 MB`."""
    if size is None:
        return _UNKNOWN
    if size < 1_000:
        return f"{size} B"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1_000
        if amount < 999.5 or unit == "TB":
            break
    return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"
