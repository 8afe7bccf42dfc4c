"""What a key looks like: `plk_<prefix>_<secret>`. The prefix finds its row, the secret has 256 random bits."""

import hashlib
import re
import secrets
from typing import NamedTuple

_KEY = re.compile(r"plk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


class NewKey(NamedTuple):
    """A new key: its text, which is shown once, and what is stored."""

    text: str
    prefix: str
    digest: str


def new_key(prefix: str | None = None) -> NewKey:
    """Make a key; a rotated one keeps its `prefix`."""
    prefix = prefix or secrets.token_hex(8)
    text = f"plk_{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(text, prefix, digest_of(text))


def prefix_of(text: str) -> str | None:
    """Return the prefix of a text that looks like a key; None for any other text."""
    found = _KEY.fullmatch(text)
    return None if found is None else found[1]


def digest_of(text: str) -> str:
    """Return the digest to store for a key. Its secret is random, so no slower hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
