"""`@job(slo="99% in 60s")`: the share of a kind's jobs that should succeed within a time of when they were due."""

import re
from datetime import timedelta
from typing import Any, NamedTuple

from jobs.kit.refused import Refused

_WORDS = re.compile(r"\s*(\d{1,2}(?:\.\d{1,6})?)\s*%\s+in\s+(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|min|h|d)\s*", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_LONGEST = timedelta(days=30)
_EXAMPLE = 'write the share and the time, such as slo="99% in 60s" or slo="99.9% in 5min" (ms, s, min, h or d)'


class Slo(NamedTuple):
    """A service level objective: `target` is a share, such as 0.99."""

    target: float
    within: timedelta
    text: str


def read_slo(value: Any) -> Slo | None:
    """Read an SLO. Raises `Refused`."""
    if value is None:
        return None
    match = _WORDS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise Refused(f"slo {value!r} is not understood: {_EXAMPLE}")
    target, within = float(match[1]) / 100, float(match[2]) * _UNITS[match[3]]
    if not target:
        raise Refused(f"slo {value!r} asks for nothing: {_EXAMPLE}")
    if not timedelta(0) < within <= _LONGEST:
        raise Refused(f"slo {value!r}: the time must be above 0 and at most {_LONGEST.days} days")
    return Slo(target, within, f"{match[1]}% in {match[2]}{match[3]}")
