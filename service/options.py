"""The options of one job, which override what its kind declares, and their bounds."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, TypeAdapter, ValidationError

from jobs import Lane, RetryPolicy
from jobs.kit.lane import to_lane
from service.errors import Refused
from service.misfits import shown
from service.own_retry import OwnRetry

LONGEST_WAIT = timedelta(days=3650)
LONGEST_TIMEOUT = timedelta(days=1)
SHORTEST_TIME = timedelta(milliseconds=1)
HIGHEST_PRIORITY = 10
MOST_ATTEMPTS = 1000
LONGEST_QUEUE = 100
LONGEST_UNIQUE_KEY = 255
LONGEST_TAG = 100
MOST_TAGS = 20
MOST_METADATA_BYTES = 4 * 1024
MOST_DELAYS = 100
# What happens to a new job whose unique key a waiting job holds: the waiting job is returned, after taking over the new
# job's fields (`replace`), or its fields and its time (`debounce`).
OnConflict = Literal["return", "replace", "debounce"]
# Its backslash is not itself escaped.
_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
    metadata: Mapping[str, Any] | None = None
    lane: str | Lane | None = None
    retry: OwnRetry | None = None
    unique_for: timedelta | None = None
    on_conflict: OnConflict = "return"


# The options of a job whose request sets none: always the same object, by which plain jobs are recognised.
NO_OPTIONS = Options()


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Write metadata as it is stored. Raises `ValueError`, saying what is wrong with it."""
    text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if (size := len(text.encode())) > MOST_METADATA_BYTES:
        raise ValueError(f"metadata may have {MOST_METADATA_BYTES} bytes as JSON, and has {size}")
    if _NUL_IN_JSON.search(text):
        raise ValueError("metadata may not contain the character NUL")
    return text


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    metadata_json(metadata)
    return metadata


def check_retry(retry: OwnRetry) -> OwnRetry:
    """Return a job's own retry policy. Raises `ValueError` for a policy that a kind could not declare, either."""
    given = {name: value for name, value in retry._asdict().items() if value is not None}
    given.pop("max_duration", None)
    RetryPolicy(**given)
    if "delays" in given and len(given) > 1:
        raise ValueError("delays already set each wait: leave out base and cap")
    if "delays" in given and not 1 <= len(given["delays"]) <= MOST_DELAYS:
        raise ValueError(f"delays are 1 to {MOST_DELAYS} numbers of seconds")
    return retry


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_check_metadata)]
_WITHOUT_NUL = r"^[^\x00]*$"
_Retry = Annotated[OwnRetry, AfterValidator(check_retry)]
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
    metadata: Metadata | None
    lane: Annotated[Any, AfterValidator(to_lane)]
    retry: _Retry | None
    unique_for: _Expiry | None
    on_conflict: OnConflict


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
    if options.unique_key is None and (options.unique_for is not None or options.on_conflict != "return"):
        raise Refused("The job's options do not fit: unique_for and on_conflict are for jobs with a unique_key.")
