"""The `Idempotency-Key` header: the same request sent again gets the same answer.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request

from service.access.principal import ANYBODY, BOOTSTRAP, Principal
from service.errors import FateUnknown, IdempotencyKeyInFlight, IdempotencyKeyReused, Refused
from service.ledger.models import Enqueued, IdempotencyKey, KeyHeld
from service.settings import Settings
from service.web.guards import principal_of
from service.web.headers import header_of
from service.web.paths import path_of

_LONGEST = 255
_SEND_AGAIN = "Send the request again; with an Idempotency-Key, and the same each time, it is carried out once."


@dataclass(slots=True)  # not frozen: that takes twice as long, and each enqueue makes an instance
class Idempotency:
    """A request's idempotency key, if it has one, and what the request asks for."""

    key: str | None
    request: Request
    body: bytes
    keys_under_way: set[str]

    @classmethod
    def of(cls, request: Request, body: bytes, keys_under_way: set[str]) -> "Idempotency":
        """Read the header, quoted or bare. Raises `Refused` if it cannot be a key."""
        key = _key_of(request)
        return cls(key and _own(principal_of(request), key), request, body, keys_under_way)

    def __enter__(self) -> None:
        """Raise `IdempotencyKeyInFlight` if another request with this key is under way in this process."""
        if self.key is None:
            return
        if self.key in self.keys_under_way:
            raise IdempotencyKeyInFlight("A request with this Idempotency-Key is under way. Send it again in a second.")
        self.keys_under_way.add(self.key)

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Let go of the key. What may or may not be recorded can be sent again under a key: the refusal says so."""
        if self.key is not None:
            self.keys_under_way.discard(self.key)
        if isinstance(error, FateUnknown):
            raise FateUnknown(error.reason, _SEND_AGAIN) from error.__cause__

    def row(
        self,
        answer: bytes,
        now: datetime,
        settings: Settings,
        answer_for: Callable[[Enqueued], bytes] | None = None,
    ) -> IdempotencyKey | None:
        """Make the key's row: the request, and the answer to it from now on, or what `answer_for` makes of it."""
        if self.key is None:
            return None
        until = now + timedelta(hours=settings.idempotency_hours)
        return IdempotencyKey(self.key, self._fingerprint(), answer.decode(), now, until, answer_for)

    def check_same(self, held: KeyHeld) -> None:
        """Raise `IdempotencyKeyReused` if the key was used for another request."""
        if held.fingerprint != self._fingerprint():
            raise IdempotencyKeyReused("This Idempotency-Key was used with another body. Use a new key for this one.")

    def _fingerprint(self) -> str:
        return hashlib.sha256(path_of(self.request.scope).encode() + b"\n" + self.body).hexdigest()


def _own(principal: Principal, key: str) -> str:
    """Return the name under which a principal's idempotency key is kept: others may use the same key.

    Keys of callers with a key of the settings, or of anybody, are kept as they are. No idempotency key contains a line
    end.
    """
    if principal in (BOOTSTRAP, ANYBODY):
        return key
    return "\n" + hashlib.sha256(f"{principal.id}\n{key}".encode()).hexdigest()


def _text(header: str) -> str:
    """Read a header as UTF-8, which clients send, if it is valid."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeDecodeError:
        return header


def _key_of(request: Request) -> str | None:
    header = header_of(request, b"idempotency-key")
    if header is None:
        return None
    key = _text(header).strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > _LONGEST or not key.isprintable():
        raise Refused(f"Idempotency-Key must have 1 to {_LONGEST} printable characters.")
    return key


KEY_HEADER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "Makes the request safe to send again: the same key and body give the same answer,"
    " for POSTLUDE_IDEMPOTENCY_HOURS (24).",
}


def sent_safely(schema: str) -> dict[str, Any]:
    """Describe a JSON body that may be sent again under the same key."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [KEY_HEADER]}
