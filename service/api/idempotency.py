"""The `Idempotency-Key` header: the same request sent again gets the same answer.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import Request

from service.errors import IdempotencyKeyInFlight, IdempotencyKeyReused, Refused
from service.ledger.models import IdempotencyKey, KeyHeld

_LONGEST = 255


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What a request says of itself: its key, if it has one, and a digest of what it asks for."""

    key: str | None
    fingerprint: str
    keys_under_way: set[str]

    @classmethod
    def of(cls, request: Request, body: bytes) -> "Idempotency":
        """Read the header, quoted or bare. Raises `Refused` when it is not usable as a key."""
        fingerprint = hashlib.sha256(request.url.path.encode() + b"\n" + body).hexdigest()
        return cls(_key_of(request), fingerprint, request.app.state.keys_under_way)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Refuse a second request of one key while the first is under way here. Raises `IdempotencyKeyInFlight`."""
        if self.key is None:
            yield
            return
        if self.key in self.keys_under_way:
            raise IdempotencyKeyInFlight("A request with this Idempotency-Key is under way. Send it again in a second.")
        self.keys_under_way.add(self.key)
        try:
            yield
        finally:
            self.keys_under_way.discard(self.key)

    def row(self, answer: str, now: datetime, kept: timedelta) -> IdempotencyKey | None:
        """Make the key's row: what was asked, and what is answered from now on."""
        if self.key is None:
            return None
        return IdempotencyKey(self.key, self.fingerprint, answer, now, now + kept)

    def check_same(self, held: KeyHeld) -> None:
        """Raise `IdempotencyKeyReused` unless this request is the one that the key was used for."""
        if held.fingerprint != self.fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key was used with another body. Use a new key for this one.")


def _key_of(request: Request) -> str | None:
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > _LONGEST or not key.isprintable():
        raise Refused(f"Idempotency-Key must have 1 to {_LONGEST} printable characters.")
    return key
