"""Words with moments and links in them: a page keeps the times current, other readers get plain text."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.words import counted


@dataclass(frozen=True, slots=True)
class Link:
    """A part that leads somewhere; `path` is a page's, without the root path."""

    label: str
    path: str


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, shown as `ago` (9 min ago), `for` (9 min: how long since then), `in` (in 47 s) or `at` (02:24:39)."""

    moment: datetime
    form: Literal["ago", "for", "in", "at"] = "ago"


Words = tuple[str | Link | Time, ...]
# Plain text is read later: it names the moment.
_PLAIN = {"ago": "at {}", "in": "at {}", "at": "{}"}
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def plain(words: Words, now: datetime) -> str:
    """Return words as text, for mails and logs; `now` is when they are sent."""
    return "".join(one if isinstance(one, str) else _plain_part(one, now) for one in words)


def _plain_part(part: Link | Time, now: datetime) -> str:
    if isinstance(part, Link):
        return part.label
    if part.form == "for":
        return _rough_span((now - part.moment).total_seconds())
    return _PLAIN[part.form].format(f"{part.moment:%Y-%m-%d %H:%M:%S} UTC")


def _rough_span(seconds: float) -> str:
    for unit_s, unit in ((_DAY_S, "days"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def jobs_text(count: int) -> str:
    return counted(count, "job")


def percent_text(share: float, digits: int = 2) -> str:
    """Return a share in per cent, with no more digits than it has: `99 %`, `99.98 %`."""
    return f"{round(100 * share, digits):g} %"
