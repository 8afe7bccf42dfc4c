"""Whether a request was signed with a secret, as Standard Webhooks 1.0.0 says. Pure."""

import hmac
from collections.abc import Mapping

from jobs.webhook.signature import sign

TOLERANCE_S = 300


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
    """Return whether one of the signatures is of `secret`, and no older than five minutes."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (message_id and timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(int(timestamp) - now_s) > TOLERANCE_S:
        return False
    expected = sign(secret, message_id, int(timestamp), body)
    given = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)
