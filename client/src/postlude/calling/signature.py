"""The secret that the service and the app share: what signs calls, and what proves that a function was offered.

Calls are signed by Standard Webhooks 1.0.0.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Mapping, Sequence

from postlude.errors import SettingsInvalid
from postlude.ids import new_id

PREFIX = "whsec_"
TOLERANCE_S = 300


class NotTrusted(Exception):
    """A call is not signed by the service; the message says what is wrong."""


def secret_key(secret: str) -> bytes:
    """Decode a secret. Raises `SettingsInvalid`."""
    encoded = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise SettingsInvalid(f"POSTLUDE_APP_SECRET must be {PREFIX} and the base64 of 24 to 64 random bytes.")
    return key


def secret_of(key: bytes) -> str:
    return PREFIX + base64.b64encode(key).decode()


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    return "v1," + _mac(key, f"{message_id}.{timestamp}.".encode() + body)


def signed(keys: Sequence[bytes], body: bytes) -> dict[str, str]:
    """Return the headers of a new message, signed with each of the keys."""
    message_id, timestamp = new_id(), int(time.time())
    signatures = [sign(key, message_id, timestamp, body) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def check(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """Return the id of a message that is signed with one of the keys, and was sent just now. Raises `NotTrusted`."""
    message_id, sent, signatures = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (message_id and sent and signatures):
        raise NotTrusted("The call is not signed: webhook-id, webhook-timestamp or webhook-signature is missing.")
    if not (sent.isascii() and sent.isdecimal() and len(sent) < 16):
        raise NotTrusted("The header webhook-timestamp is not a time in seconds.")
    expected = [sign(key, message_id, int(sent), body).encode() for key in keys]
    given = [one.encode() for one in signatures.split()]
    if not any(hmac.compare_digest(one, other) for one in given for other in expected):
        raise NotTrusted("The signature is wrong: compare POSTLUDE_APP_SECRET with the secret that is registered.")
    if abs(ahead_s := int(sent) - now) > TOLERANCE_S:
        raise NotTrusted(
            f"The call was signed {abs(ahead_s):,.0f} s {'after' if ahead_s > 0 else 'before'} now by this app's clock;"
            f" {TOLERANCE_S} s are allowed: compare the clocks."
        )
    return message_id


def offer_of(key: bytes, function: str) -> str:
    """Return an app's proof that its own code enqueued this function; all its processes accept it, even later ones."""
    return _mac(key, b"postlude offer\n" + function.encode())


def is_offered(keys: Sequence[bytes], function: str, offer: str) -> bool:
    return any(hmac.compare_digest(offer_of(key, function).encode(), offer.encode()) for key in keys)


def _mac(key: bytes, text: bytes) -> str:
    return base64.b64encode(hmac.digest(key, text, "sha256")).decode()
