"""Digests and signatures, and how they are compared: in a time that tells nothing."""

import hashlib
import hmac
from collections.abc import Iterable


def signature_of(digest: str, text: str) -> str:
    """Sign a text with a key's digest: whoever knows the key can check it."""
    return hmac.new(digest.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_one_of(given: str, known: Iterable[str]) -> bool:
    """Whether `given` is among these, which are hexadecimal; each of them is compared."""
    if not given.isascii():
        return False
    found = False
    for one in known:
        found |= hmac.compare_digest(given, one)
    return found
