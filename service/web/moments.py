"""Times over HTTP: RFC 3339 text in, and out in UTC (`format: date-time`)."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

from jobs.kit.times import Time
from service.tables import moment_text


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be between the years 1 and 9999 in UTC") from error


Moment = Annotated[Time, AfterValidator(_to_utc)]
ShownMoment = Annotated[
    datetime,
    PlainSerializer(moment_text, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
