"""Who may call."""

import hashlib

import pytest
from pydantic import SecretStr

from service.auth import ANYBODY, KeyRing, Principal
from service.errors import Unauthorized

RING = KeyRing([SecretStr("first-key"), SecretStr("second-key")])


@pytest.mark.parametrize(
    "header",
    ["Bearer first-key", "Bearer second-key", "bearer first-key", "BEARER first-key", "Bearer   first-key "],
)
def test_each_of_the_keys_opens(header: str) -> None:
    assert RING.identify(header).key is not None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "first-key",
        "Basic first-key",
        "Bearer first-key2",
        "Bearer first-ke",
        "Bearer FIRST-KEY",
        "Bearer first-key second-key",
        "Bearer first-key, Bearer second-key",
        "Bearer k\u00e9y",
    ],
)
def test_nothing_else_opens(header: str | None) -> None:
    with pytest.raises(Unauthorized) as refused:
        RING.identify(header)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"
    assert "POSTLUDE_API_KEYS" in refused.value.detail
    assert "first-key" not in refused.value.detail


@pytest.mark.parametrize("header", [None, "", "Bearer anything", "nonsense"])
def test_without_keys_everybody_may_call(header: str | None) -> None:
    assert KeyRing([]).identify(header) == ANYBODY == Principal(key=None)


def test_a_key_ring_shows_no_key() -> None:
    assert "first-key" not in repr(vars(RING))


def test_a_principal_is_told_by_its_key_and_by_no_secret() -> None:
    first, second = RING.identify("Bearer first-key"), RING.identify("Bearer second-key")
    assert first == RING.identify("bearer first-key") == KeyRing([SecretStr("first-key")]).identify("Bearer first-key")
    assert first != second
    digest = hashlib.sha256(b"first-key").hexdigest()
    assert first.key is not None
    assert first.key not in digest  # which signs tickets
    assert first.key not in RING.sign(first, "text")


def test_a_signature_names_its_signer_and_holds_for_its_text_alone() -> None:
    first, second = RING.identify("Bearer first-key"), RING.identify("Bearer second-key")
    signature = RING.sign(first, "text")
    assert RING.signer_of("text", signature) == first
    assert RING.signer_of("text", RING.sign(second, "text")) == second
    assert RING.signer_of("other text", signature) is None
    assert KeyRing([SecretStr("second-key")]).signer_of("text", signature) is None
    assert KeyRing([]).signer_of("text", "whatever") == ANYBODY
