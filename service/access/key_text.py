"""What a key looks like: `plk_<prefix>_<secret>`. The prefix finds its row, the secret has 256 random bits."""

import hashlib
import re
import secrets
from typing import NamedTuple

_KEY = re.compile(r"plk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


class NewKey(NamedTuple):
    """A key as it is shown once, and what is kept of it."""

    text: str
    prefix: str
    digest: str


def new_key(prefix: str | None = None) -> NewKey:
    """Make a key; a rotated one keeps its `prefix`."""
    prefix = prefix or secrets.token_hex(8)
    text = f"plk_{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(text, prefix, digest_of(text))


def prefix_of(text: str) -> str | None:
    """Return the prefix of what looks like a key; None for anything else."""
    found = _KEY.fullmatch(text)
    return None if found is None else found[1]


def digest_of(text: str) -> str:
    """Return what is kept of a key: its secret is random, so nothing slower is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
