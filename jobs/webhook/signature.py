"""The Standard Webhooks 1.0.0 format: body, id, timestamp and `v1` signature. Pure."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from datetime import UTC, datetime

from pydantic import JsonValue

COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]+")
SECRET_PREFIX = "whsec_"  # nosec B105  # noqa: S105 - a prefix, not a secret


def webhook_body(event: str, created_at: datetime, data: JsonValue) -> bytes:
    """Write `{type, timestamp, data}` as compact JSON. Raises `ValueError` for NaN, infinity and lone surrogates."""
    timestamp = created_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": event, "timestamp": timestamp, "data": data}
    return COMPACT.encode(body).encode()


def webhook_headers(job_id: str, timestamp: int, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the headers of one attempt. The id never changes, so that a receiver can recognise repeats."""
    own_id = message_id(job_id)
    headers = {"webhook-id": own_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        headers["webhook-signature"] = sign(secret, own_id, timestamp, body)
    return headers


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Sign with HMAC-SHA256, as `v1,<base64>`. `timestamp` in unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret_key(secret), signed, "sha256")).decode()


def secret_key(secret: str) -> bytes:
    """Decode `whsec_<base64>`, padded or not. Raises `ValueError` unless it holds 24 to 64 bytes."""
    before, prefix, encoded = secret.partition(SECRET_PREFIX)
    encoded = encoded.rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if before or not prefix or not 24 <= len(key) <= 64:
        raise ValueError("a secret is whsec_ and the base64 of 24 to 64 random bytes")
    return key


def message_id(job_id: str) -> str:
    """Return the id by which receivers recognise repeats of a job."""
    # An id adopted from an arq client is any text; the signed string takes no dots, a header no line ends.
    if _MESSAGE_ID.fullmatch(job_id):
        return job_id
    return hashlib.sha256(job_id.encode()).hexdigest()
