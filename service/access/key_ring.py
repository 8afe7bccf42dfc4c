"""The keys of `POSTLUDE_API_KEYS`: they all stand for one principal, which may do everything."""

from collections.abc import Iterable

from pydantic import SecretStr

from service.access.key_text import digest_of
from service.access.signatures import is_one_of, signature_of


class KeyRing:
    """Holds digests of the keys."""

    def __init__(self, keys: Iterable[SecretStr]) -> None:
        self._digests = [digest_of(key.get_secret_value()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def knows(self, digest: str) -> bool:
        """Whether this is the digest of a key."""
        return is_one_of(digest, self._digests)

    def has_signed(self, text: str, signature: str) -> bool:
        """Whether the signature was made with any of the keys."""
        return is_one_of(signature, [signature_of(known, text) for known in self._digests])
