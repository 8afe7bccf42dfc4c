"""Keys of POSTLUDE_SECRET_KEYS: how they are written and named. Pure."""

import base64
import binascii
import hashlib

KEY_BYTES = 32
ID_LENGTH = 8


def key_id_of(key: bytes) -> str:
    """Return the name of a key, which reveals nothing about its 256 random bits."""
    return hashlib.sha256(b"postlude secret key\n" + key).hexdigest()[:ID_LENGTH]


def read_key(text: str) -> bytes:
    """Read a key from its base64. Raises `ValueError`."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"each key must be the base64 of {KEY_BYTES} random bytes: `openssl rand -base64 {KEY_BYTES}`")
    return key
