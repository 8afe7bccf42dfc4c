"""The key pair by which push services know us: Voluntary Application Server Identification (RFC 8292)."""

import base64
import binascii
import time
from typing import TYPE_CHECKING

import httpx

from service.errors import StartRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_SETTING = "POSTLUDE_VAPID_PRIVATE_KEY"
# Half of what RFC 8292, 2 allows: clocks differ.
LIVES_S = 12 * 3600
_KEY_BYTES = 32


class VapidKey:
    """See `jobs.push.accounts.Vapid`. Made by `VapidKey.read`."""

    def __init__(self, key: "EllipticCurvePrivateKey", subject: str) -> None:
        from cryptography.hazmat.primitives import serialization
        from joserfc.jwk import ECKey

        self._subject = subject
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._key = ECKey.import_key(pem)
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        self.public_key = base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    @classmethod
    def read(cls, given: str, subject: str) -> "VapidKey":
        """Read a key as `postlude push vapid-key` prints it. Raises `StartRefused`."""
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = ec.derive_private_key(_number(given), ec.SECP256R1())
        except (ValueError, binascii.Error):
            raise StartRefused(
                f"{_SETTING} is not the base64 of {_KEY_BYTES} bytes. `postlude push vapid-key` makes one."
            ) from None
        return cls(key, subject)

    def authorization_for(self, endpoint: httpx.URL) -> str:
        from joserfc import jwt

        origin = f"{endpoint.scheme}://{endpoint.netloc.decode()}"
        claims = {"aud": origin, "exp": int(time.time()) + LIVES_S, "sub": self._subject}
        token = jwt.encode({"typ": "JWT", "alg": "ES256"}, claims, self._key)
        return f"vapid t={token}, k={self.public_key}"


def _number(given: str) -> int:
    number = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
    if len(number) != _KEY_BYTES:
        raise ValueError("a private key on P-256 has 32 bytes")
    return int.from_bytes(number)
