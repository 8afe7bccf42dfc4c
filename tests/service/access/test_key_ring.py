"""The keys of the settings."""

import pytest
from pydantic import SecretStr

from service.access.key_ring import KeyRing
from service.access.key_text import digest_of
from service.access.signatures import signature_of

RING = KeyRing([SecretStr("first-key"), SecretStr("second-key")])


def test_each_of_the_keys_is_known() -> None:
    assert RING.knows(digest_of("first-key"))
    assert RING.knows(digest_of("second-key"))
    assert RING
    assert not KeyRing([])


@pytest.mark.parametrize("key", ["", "first-key2", "first-ke", "FIRST-KEY", "first-key second-key", "k\u00e9y"])
def test_nothing_else_is(key: str) -> None:
    assert not RING.knows(digest_of(key))
    assert not KeyRing([]).knows(digest_of(key))


def test_a_key_ring_shows_no_key() -> None:
    assert "first-key" not in repr(vars(RING))


def test_a_signature_holds_for_its_text_and_falls_with_its_key() -> None:
    signature = signature_of(digest_of("second-key"), "text")
    assert RING.has_signed("text", signature)
    assert not RING.has_signed("other text", signature)
    assert not RING.has_signed("text", "\u00e9")
    assert not KeyRing([SecretStr("first-key")]).has_signed("text", signature)
    assert not KeyRing([]).has_signed("text", signature)


def test_it_takes_as_long_whichever_key_fits_and_if_none_does(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(given: str, known: str) -> bool:
        compared.append(known)
        return given == known

    monkeypatch.setattr("service.access.signatures.hmac.compare_digest", compare)
    took = []
    for key in ("first-key", "second-key", "another"):
        compared.clear()
        RING.knows(digest_of(key))
        took.append(len(compared))
    assert took == [2, 2, 2]
