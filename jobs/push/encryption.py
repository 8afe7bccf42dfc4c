"""A push's data, readable by its browser alone (RFC 8291, RFC 8188). Pure."""

from jobs.push.args import SubscriptionKeys, key_bytes


def encrypted(data: bytes, keys: SubscriptionKeys) -> bytes:
    """Encrypt as `aes128gcm`, in one record. Raises `ValueError` if the browser's key is not a point on P-256."""
    import http_ece  # type: ignore[import-untyped]
    from cryptography.hazmat.primitives.asymmetric import ec

    public, auth = key_bytes(keys.p256dh), key_bytes(keys.auth.get_secret_value())
    own = ec.generate_private_key(ec.SECP256R1())
    record: bytes = http_ece.encrypt(data, private_key=own, dh=public, auth_secret=auth, version="aes128gcm")
    return record
