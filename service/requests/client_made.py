"""Ids that clients make: the same id with the same request is the same job."""

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import from_json

from service import agreed_time

# RFC 9562: 48 bits of Unix time in ms, version 7, variant 10.
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_FURTHEST_AHEAD = timedelta(days=1)


def _checked(text: str) -> str:
    made = text.lower()
    if not _UUID7.fullmatch(made):
        raise ValueError("an id is a UUIDv7, e.g. 019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b71")
    if _time_of(made) > agreed_time.now() + _FURTHEST_AHEAD:
        raise ValueError("the time in this UUIDv7 is more than a day ahead: check the clock that it was made by")
    return made


def _time_of(made: str) -> datetime:
    ms = int(made[:8] + made[9:13], 16)
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


ClientMadeId = Annotated[str, AfterValidator(_checked)]


def request_hash(request: bytes | Any) -> str:
    """Return the SHA-256 of a request, as JSON or as what that holds: spaces and the order of names do not count."""
    asked = from_json(request) if isinstance(request, bytes) else request
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
