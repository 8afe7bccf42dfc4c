"""The options of one job, which override what its kind declares, and their bounds."""

from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from service.errors import Refused, shown

LONGEST_WAIT = timedelta(days=3650)
LONGEST_TIMEOUT = timedelta(days=1)
SHORTEST_TIME = timedelta(milliseconds=1)
HIGHEST_PRIORITY = 10
MOST_ATTEMPTS = 1000
LONGEST_QUEUE = 100
LONGEST_UNIQUE_KEY = 255
LONGEST_TAG = 100
MOST_TAGS = 20


class Options(NamedTuple):
    """`delay` and `expires_in` count from now."""

    run_at: datetime | None = None
    delay: timedelta | None = None
    queue: str | None = None
    priority: int = 0
    max_attempts: int | None = None
    timeout: timedelta | None = None
    expires_in: timedelta | None = None
    unique_key: str | None = None
    tags: tuple[str, ...] = ()


_WITHOUT_NUL = r"^[^\x00]*$"
_Wait = Annotated[timedelta, Field(strict=True, ge=timedelta(0), le=LONGEST_WAIT)]
_Expiry = Annotated[timedelta, Field(strict=True, ge=SHORTEST_TIME, le=LONGEST_WAIT)]
_Timeout = Annotated[timedelta, Field(strict=True, ge=SHORTEST_TIME, le=LONGEST_TIMEOUT)]
_Queue = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_QUEUE, pattern=_WITHOUT_NUL)]
_Key = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_UNIQUE_KEY, pattern=_WITHOUT_NUL)]
_Tag = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_TAG, pattern=_WITHOUT_NUL)]


class _Bounded(NamedTuple):
    """The same options, with their bounds."""

    run_at: Annotated[AwareDatetime, Field(strict=True)] | None
    delay: _Wait | None
    queue: _Queue | None
    priority: Annotated[int, Field(strict=True, ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY)]
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=MOST_ATTEMPTS)] | None
    timeout: _Timeout | None
    expires_in: _Expiry | None
    unique_key: _Key | None
    tags: Annotated[tuple[_Tag, ...], Field(max_length=MOST_TAGS)]


_bounded: TypeAdapter[_Bounded] = TypeAdapter(_Bounded)


def check(options: Options) -> None:
    """Raise `Refused` if options from Python code are outside the bounds of the API."""
    try:
        _bounded.validate_python(options._asdict())
    except ValidationError as error:
        errors = shown(error.errors(include_url=False, include_context=False, include_input=False))
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in errors[:5])
        raise Refused(f"The job's options do not fit: {told}.", errors=errors) from None
    if options.run_at is not None and options.delay is not None:
        raise Refused("The job's options do not fit: give run_at or delay, not both.")
