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
        scheme = (authorization or "").partition(" ")[0]
        digest = _digest(_key_in(authorization))
        # Every key is compared, so that the time taken tells nothing.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthorized("Send `Authorization: Bearer <key>` with a key of POSTLUDE_API_KEYS.")

    def sign(self, authorization: str | None, text: str) -> str:
        """Sign a text with the key that the header carries. Raises `Unauthorized`."""
        self.check(authorization)
        return _signature(_digest(_key_in(authorization)), text)

    def has_signed(self, text: str, signature: str) -> bool:
        """Whether a bearer of one of the keys had the text signed; anything is signed where no key is asked for."""
        given = signature.encode()
        matches = [hmac.compare_digest(given, _signature(known, text).encode()) for known in self._digests]
        return not matches or any(matches)


def _key_in(authorization: str | None) -> str:
    return (authorization or "").partition(" ")[2].strip()


def _signature(digest: bytes, text: str) -> str:
    return hmac.new(digest, text.encode(), hashlib.sha256).hexdigest()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
