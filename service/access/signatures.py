"""Digests and signatures, compared in constant time."""

import hashlib
import hmac
from collections.abc import Iterable


def signature_of(digest: str, text: str) -> str:
    """Sign a text with a key's digest: whoever knows the key can check it."""
    return hmac.new(digest.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_one_of(given: str, known: Iterable[str]) -> bool:
    """Whether `given` is among these hexadecimal texts; all of them are compared."""
    if not given.isascii():
        return False
    found = False
    for one in known:
        found |= hmac.compare_digest(given, one)
    return found
