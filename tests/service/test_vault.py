import base64
import subprocess
import sys
import time

import pytest
from pydantic import SecretStr

from service.errors import SecretUnreadable
from service.secret_keys import key_id_of, read_key
from service.vault import OPEN_VAULT, Vault, is_sealed, sealing_key_of

ONE, TWO = (SecretStr(base64.b64encode(bytes([number]) * 32).decode()) for number in (1, 2))
PLACE = ("jobs", "sealed_args", "7")


def test_what_is_sealed_opens_at_its_place_and_nowhere_else() -> None:
    vault = Vault([ONE])
    kept = vault.seal("pässword", *PLACE)
    assert "pässword" not in kept
    assert vault.open(kept, *PLACE) == "pässword"
    assert vault.seal("pässword", *PLACE) != kept, "nobody sees that two secrets are the same"
    for other in (("jobs", "sealed_args", "8"), ("schedules", "sealed_args", "7"), ("jobs", "sealed_args\07")):
        with pytest.raises(SecretUnreadable, match="belongs to another row"):
            vault.open(kept, *other)


def test_what_was_changed_does_not_open() -> None:
    vault = Vault([ONE])
    kept = vault.seal("secret", *PLACE)
    head, text = kept.rsplit(":", 1)
    raw = base64.b64decode(text)
    for changed in (raw[:-1], b"", bytes([raw[0] ^ 1]) + raw[1:], raw[:-1] + bytes([raw[-1] ^ 1])):
        with pytest.raises(SecretUnreadable, match="was changed"):
            vault.open(f"{head}:{base64.b64encode(changed).decode()}", *PLACE)
    for nonsense in (f"{head}:*", head, "v1:"):
        with pytest.raises(SecretUnreadable):
            vault.open(nonsense, *PLACE)


def test_the_first_key_seals_and_all_open() -> None:
    old = Vault([ONE]).seal("secret", *PLACE)
    both = Vault([TWO, ONE])
    assert both.open(old, *PLACE) == "secret"
    assert not both.is_current(old)
    assert both.is_current(both.seal("secret", *PLACE))
    assert sealing_key_of(both.seal("secret", *PLACE)) == both.key_id == Vault([TWO]).key_id


def test_a_missing_key_is_named() -> None:
    kept = Vault([ONE]).seal("secret", *PLACE)
    missing = key_id_of(read_key(ONE.get_secret_value()))
    for vault in (OPEN_VAULT, Vault([TWO])):
        with pytest.raises(SecretUnreadable, match=missing):
            vault.open(kept, *PLACE)


def test_without_keys_secrets_are_kept_as_they_are_and_those_from_before_stay_readable() -> None:
    kept = OPEN_VAULT.seal('{"password":"x"}', *PLACE)
    assert kept == '{"password":"x"}'
    assert not is_sealed(kept)
    assert Vault([ONE]).open(kept, *PLACE) == kept
    assert not Vault([ONE]).is_current(kept)


def test_who_has_no_keys_does_not_load_the_library() -> None:
    script = "import service.vault, sys; service.vault.Vault(); sys.exit('cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_sealing_costs_microseconds() -> None:
    vault, secret = Vault([ONE]), '{"password":"' + "x" * 1_000 + '"}'
    began = time.perf_counter()
    for _ in range(2_000):
        vault.open(vault.seal(secret, *PLACE), *PLACE)
    assert (time.perf_counter() - began) / 2_000 < 0.000_5  # 10 us, on a quiet machine
