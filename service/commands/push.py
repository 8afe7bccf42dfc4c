"""`postlude push`: what sending to browsers needs."""

import base64

import click


@click.group()
def push() -> None:
    """Pushes to phones and browsers."""


@push.command("vapid-key")
def vapid_key() -> None:
    """Make a key pair by which push services know this service.

    The private key is for the workers, the public one for the pages that subscribe browsers (applicationServerKey).
    A subscription works only with the key it was made with: make one key, and keep it.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_numbers().private_value.to_bytes(32)
    public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    click.echo(f"POSTLUDE_VAPID_PRIVATE_KEY={_base64(private)}")
    click.echo(f"applicationServerKey: {_base64(public)}")


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
