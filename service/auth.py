"""Who calls the API: the bearer of a key of `POSTLUDE_API_KEYS`; anybody where no key is set (loopback only)."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr

from service.errors import Unauthorized

_FINGERPRINT_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `key` is the fingerprint of the caller's key, None where no key is asked for.

    The fingerprint tells keys apart in logs. It opens nothing, and neither the key nor a ticket can be made of it.
    """

    key: str | None = None


ANYBODY = Principal()


class KeyRing:
    """Holds digests of the keys, and compares in constant time."""

    def __init__(self, keys: Iterable[SecretStr]) -> None:
        digests = [_digest(key.get_secret_value()) for key in keys]
        self._bearers = [(digest, Principal(_fingerprint(digest))) for digest in digests]
        self._digest_of = {principal: digest for digest, principal in self._bearers}

    def identify(self, authorization: str | None) -> Principal:
        """Return whose key the header carries. Raises `Unauthorized` where it carries none, unless there are none."""
        if not self._bearers:
            return ANYBODY
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip())
        # Every key is compared, so that the time taken tells nothing.
        matches = [principal for known, principal in self._bearers if hmac.compare_digest(digest, known)]
        if scheme.lower() != "bearer" or not matches:
            raise Unauthorized("Send `Authorization: Bearer <key>` with a key of POSTLUDE_API_KEYS.")
        return matches[0]

    def sign(self, principal: Principal, text: str) -> str:
        """Sign a text with the caller's key."""
        return _signature(self._digest_of.get(principal, b""), text)

    def signer_of(self, text: str, signature: str) -> Principal | None:
        """Return who signed the text; None where nobody did. Everything is signed where no key is asked for."""
        if not self._bearers:
            return ANYBODY
        given = signature.encode()
        matches = [
            principal
            for known, principal in self._bearers
            if hmac.compare_digest(given, _signature(known, text).encode())
        ]
        return matches[0] if matches else None


def _fingerprint(digest: bytes) -> str:
    """Name a key by its digest, which itself signs tickets and is told to nobody."""
    return hashlib.sha256(b"fingerprint\n" + digest).hexdigest()[:_FINGERPRINT_LENGTH]


def _signature(digest: bytes, text: str) -> str:
    return hmac.new(digest, text.encode(), hashlib.sha256).hexdigest()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
