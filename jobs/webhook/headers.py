"""HTTP headers: which ones a job may set, and how `Retry-After` is read. Pure."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from jobs.kit.proof import Check

VALUE_CAP_BYTES = 4096
NAME = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
LONGEST_RETRY_AFTER = timedelta(hours=24)

# Headers that the sender sets itself, that belong to the connection, or that have a special meaning in clouds.
DENIED = {
    "accept-encoding",
    "age",
    "cache-control",
    "clear-site-data",
    "connection",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "pragma",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "warning",
}
DENIED_PREFIXES = ("content-", "proxy-", "webhook-", "x-amz-", "x-azure-", "x-goog")


def check_characters(name: str) -> None:
    """Raise `ValueError` for what no header can be named."""
    if not re.fullmatch(NAME, name):
        raise ValueError("a header's name has only letters, digits and !#$%&'*+.^_`|~-")


def _check_name(name: str) -> None:
    check_characters(name)
    if name.lower() in DENIED or name.lower().startswith(DENIED_PREFIXES):
        raise ValueError("this header is set by the sender, the connection or a cloud, not by the job")


def _check_value(value: SecretStr) -> None:
    text = value.get_secret_value()
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise ValueError("a header's value has no control characters")
    if text != text.strip():
        raise ValueError("a header's value neither begins nor ends with a space")
    if len(text.encode()) > VALUE_CAP_BYTES:
        raise ValueError(f"a header's value has at most {VALUE_CAP_BYTES} bytes")


def check_names_differ(headers: dict[str, SecretStr]) -> None:
    """Raise `ValueError` if two of the names differ only in case."""
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header is named twice")


Name = Annotated[str, Field(max_length=200, json_schema_extra={"pattern": NAME}), AfterValidator(Check(_check_name))]
Value = Annotated[SecretStr, AfterValidator(Check(_check_value))]
Headers = Annotated[dict[Name, Value], Field(max_length=64), AfterValidator(Check(check_names_differ))]


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Read a `Retry-After` header (RFC 9110, 10.2.3), at most 24 h. None if it asks for no wait or is not valid."""
    value = value.strip()
    try:
        if value.isascii() and value.isdigit():
            wait = timedelta(seconds=min(float(value), LONGEST_RETRY_AFTER.total_seconds()))
        else:
            wait = _http_date(value) - now
    except (ValueError, OverflowError):
        return None
    return min(wait, LONGEST_RETRY_AFTER) if wait > timedelta(0) else None


def _http_date(value: str) -> datetime:
    date = parsedate_to_datetime(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)
