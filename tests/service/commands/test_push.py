"""`postlude push vapid-key`: a new key pair each time, as settings and browsers take it."""

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.cli import postlude
from tests.support.push_servers import base64_url, from_base64_url


def made() -> tuple[str, str]:
    ran = CliRunner().invoke(postlude, ["push", "vapid-key"])
    assert ran.exit_code == 0, ran.output
    private, public = ran.output.splitlines()
    return private.removeprefix("POSTLUDE_VAPID_PRIVATE_KEY="), public.removeprefix("applicationServerKey: ")


def test_a_key_pair_belongs_together_and_is_made_once() -> None:
    private, public = made()
    key = ec.derive_private_key(int.from_bytes(from_base64_url(private)), ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert (len(private), base64_url(point)) == (43, public)
    assert made() != (private, public)
