"""Times over HTTP: RFC 3339 text in, and out in UTC (`format: date-time`)."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from service.moments import Moment
from service.tables import moment_text

__all__ = ["Moment", "ShownMoment"]

ShownMoment = Annotated[
    datetime,
    PlainSerializer(moment_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
