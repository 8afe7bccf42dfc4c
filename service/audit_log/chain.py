"""The chain: each entry has a hash over what it says and over the hash of the entry before. Pure."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import NamedTuple

import rfc8785
from pydantic import SecretStr

from service.secret_keys import key_id_of, read_key

GENESIS = "0" * 64
"""What the first entry has as the hash of the entry before it."""


class Kept(NamedTuple):
    """An entry as the table has it, all as text: times are RFC 3339, in UTC, with microseconds."""

    seq: int
    at: str
    recorded_at: str
    actor: str
    action: str
    previous_hash: str
    target: str | None = None
    origin: str | None = None
    data: str | None = None
    job_id: str | None = None
    key_id: str | None = None
    hash: str = ""


class Keys:
    """Keys of POSTLUDE_AUDIT_LOG_KEYS: the first makes hashes, all check them. Without keys, hashes are plain."""

    def __init__(self, keys: Iterable[SecretStr] = ()) -> None:
        """Raises `ValueError` for a text that is not a key."""
        raw = [read_key(key.get_secret_value()) for key in keys]
        self._keys = {key_id_of(key): key for key in raw}

    @property
    def key_id(self) -> str | None:
        """The id of the key that makes hashes."""
        return next(iter(self._keys), None)

    def have(self, key_id: str | None) -> bool:
        return key_id is None or key_id in self._keys

    def sealed(self, entry: Kept) -> Kept:
        """Return the entry with its hash."""
        return entry._replace(hash=self.hash_of(entry))

    def hash_of(self, entry: Kept) -> str:
        """Hash an entry: SHA-256, or HMAC with the entry's key, over RFC 8785's JSON of all but `hash`.

        Raises `ValueError` for text that cannot be written in UTF-8, and `KeyError` without the key.
        """
        said = entry._asdict()
        del said["hash"]
        text = rfc8785.dumps(said)
        if entry.key_id is None:
            return hashlib.sha256(text).hexdigest()
        return hmac.digest(self._keys[entry.key_id], text, "sha256").hex()
