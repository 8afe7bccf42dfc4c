"""Secrets at rest: the database stores secrets sealed with a key of POSTLUDE_SECRET_KEYS.

AES-256-GCM with random nonces, written as `v1:<key id>:<base64 of nonce and ciphertext>`. A sealed secret is bound to
its place: copied into another row, it cannot be opened.
"""

import base64
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import SecretStr

from service.errors import SecretUnreadable
from service.secret_keys import ID_LENGTH, key_id_of, read_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# The beginning of a sealed secret. One in clear is JSON, or begins with the prefix of its sort.
SEALED = "v1:"
# This much of it tells the key.
HEAD_LENGTH = len(SEALED) + ID_LENGTH + 1
_NONCE_BYTES = 12


class Vault:
    """Seals with the first of its keys, and opens with any. Without keys, secrets are kept as they are."""

    def __init__(self, keys: Iterable[SecretStr] = ()) -> None:
        """Raises `ValueError` for a text that is not a key."""
        raw = [read_key(key.get_secret_value()) for key in keys]
        self.key_ids = tuple(key_id_of(key) for key in raw)
        self._ciphers = {key_id_of(key): _cipher(key) for key in raw}

    @property
    def key_id(self) -> str | None:
        """The id of the key that seals."""
        return self.key_ids[0] if self.key_ids else None

    def seal(self, secret: str, *place: str) -> str:
        """Return a secret as it is stored at its `place`: table, column, and the row's key.

        A sealed one stays sealed.
        """
        if self.key_id is None or is_sealed(secret):
            return secret
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[self.key_id].encrypt(nonce, secret.encode(), _bound_to(place))
        return f"{SEALED}{self.key_id}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, kept: str, *place: str) -> str:
        """Return the secret stored at `place`, sealed or in clear. Raises `SecretUnreadable`."""
        key_id = sealing_key_of(kept)
        if key_id is None:
            return kept
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SecretUnreadable(
                f"The secret is sealed with the key {key_id}, which is not among POSTLUDE_SECRET_KEYS"
                f" ({', '.join(self.key_ids) or 'none are set'}). Add that key behind the others."
            )
        return _opened(cipher, kept, place)

    def is_current(self, kept: str) -> bool:
        """Whether a stored secret has today's form: sealed with the first key or, without keys, in clear."""
        return sealing_key_of(kept) == self.key_id


OPEN_VAULT = Vault()


def sealing_key_of(kept: str) -> str | None:
    """Return the id of the key that sealed a stored secret; None if it is stored in clear."""
    if not is_sealed(kept):
        return None
    return kept.split(":", 2)[1]


def is_sealed(kept: str) -> bool:
    return kept.startswith(SEALED)


def _cipher(key: bytes) -> "AESGCM":
    # Only here: 8 MB, which child processes of a worker never need.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _opened(cipher: "AESGCM", kept: str, place: tuple[str, ...]) -> str:
    from cryptography.exceptions import InvalidTag

    try:
        sealed = base64.b64decode(kept.split(":", 2)[2], validate=True)
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(place)).decode()
    except (InvalidTag, ValueError, IndexError) as error:
        raise SecretUnreadable(
            f"What is kept in {'.'.join(place[:2])} of {' '.join(place[2:])} was changed, or belongs to another row:"
            f" its key {sealing_key_of(kept)} does not open it."
        ) from error


def _bound_to(place: tuple[str, ...]) -> bytes:
    """No text in a database holds NUL."""
    return "\0".join(place).encode()
