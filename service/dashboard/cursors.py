"""Where a page of a list ended, as its address says it: a moment and an id."""

from datetime import datetime

from pydantic import TypeAdapter

from service.web.cursor import Text, decode, encode
from service.web.moments import Moment

Place = tuple[datetime, str]
_place: TypeAdapter[Place] = TypeAdapter(tuple[Moment, Text])


def place_of(cursor: str | None) -> Place | None:
    """Read a cursor; None if there is none. Raises `BadCursor`."""
    return decode(_place, cursor) if cursor else None


def cursor_of(at: datetime, last_id: str) -> str:
    return encode([at.isoformat(), last_id])
