"""Times over HTTP: RFC 3339 text in, and out in UTC (`format: date-time`)."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer, TypeAdapter, ValidationError, WithJsonSchema

from service.errors import Refused
from service.moments import Moment
from service.tables import moment_text

__all__ = ["Moment", "ShownMoment", "day_or_moment"]

ShownMoment = Annotated[
    datetime,
    PlainSerializer(moment_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]

_moments: TypeAdapter[datetime] = TypeAdapter(Moment)


def day_or_moment(text: str) -> datetime | None:
    """Read a form's field: a moment as the API takes it, a day, or nothing. Raises `Refused`."""
    if not text.strip():
        return None
    try:
        return _moments.validate_python(text if "T" in text else f"{text}T00:00:00Z")
    except ValidationError as error:
        raise Refused(f"{text!r} is neither a day nor a moment, such as 2026-01-31 or 2026-01-31T12:00:00Z.") from error
