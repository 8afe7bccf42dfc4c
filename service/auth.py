"""Who may call the API: bearers of a key of `POSTLUDE_API_KEYS`; everybody where none is set (loopback only)."""

import hashlib
import hmac
from collections.abc import Iterable

from pydantic import SecretStr

from service.errors import Unauthorized


class KeyRing:
    """Holds digests of the keys, and compares in constant time."""

    def __init__(self, keys: Iterable[SecretStr]) -> None:
        self._digests = [_digest(key.get_secret_value()) for key in keys]

    def check(self, authorization: str | None) -> None:
        """Raise `Unauthorized` unless the header carries one of the keys."""
        if not self._digests:
            return
        scheme, _, given = (authorization or "").partition(" ")
        digest = _digest(given.strip())
        # Every key is compared, so that the time taken tells nothing.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthorized("Send `Authorization: Bearer <key>` with a key of POSTLUDE_API_KEYS.")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
