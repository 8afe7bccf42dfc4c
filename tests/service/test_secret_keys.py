import base64

import pytest

from service.secret_keys import key_id_of, read_key


def test_a_key_is_the_base64_of_32_bytes() -> None:
    assert read_key(base64.b64encode(b"k" * 32).decode()) == b"k" * 32
    for wrong in ("", "k" * 32, base64.b64encode(b"k" * 31).decode(), base64.b64encode(b"k" * 32).decode()[:-1], "ü"):
        with pytest.raises(ValueError, match="openssl rand -base64 32"):
            read_key(wrong)


def test_keys_are_named_by_eight_digits_of_their_own() -> None:
    names = {key_id_of(bytes([number]) * 32) for number in range(100)}
    assert len(names) == 100
    assert all(len(name) == 8 and int(name, 16) >= 0 for name in names)
