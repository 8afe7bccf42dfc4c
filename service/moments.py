"""Times in requests: RFC 3339 text in, UTC within."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

from jobs.kit.times import Time


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be between the years 1 and 9999 in UTC") from error


Moment = Annotated[Time, AfterValidator(_to_utc)]
