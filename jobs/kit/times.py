"""Times in JSON: only text in the form of RFC 3339."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator

from jobs.kit.proof import Reads

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) *([Zz]|[+ -]\d\d:?\d\d)", re.ASCII)
_WANTED = "must be a time with a time zone, in the form of RFC 3339, e.g. 2026-01-31T12:00:00Z"


def _read(value: object) -> datetime:
    """Read text. A number is refused, because seconds or milliseconds would be a guess.

    A `+` that was not percent-encoded arrives from a query as a space.
    """
    if isinstance(value, datetime):
        return value
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_WANTED)
    try:
        return datetime.fromisoformat(match[1].upper() + match[2].upper().replace(" ", "+"))
    except ValueError as error:
        raise ValueError(f"{_WANTED}; there is no such time") from error


Time = Annotated[AwareDatetime, BeforeValidator(Reads(_read))]
