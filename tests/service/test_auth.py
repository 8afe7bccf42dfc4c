import pytest
from pydantic import SecretStr

from service.auth import KeyRing
from service.errors import Unauthorized

RING = KeyRing([SecretStr("first-key"), SecretStr("second-key")])


@pytest.mark.parametrize(
    "header",
    ["Bearer first-key", "Bearer second-key", "bearer first-key", "BEARER first-key", "Bearer   first-key "],
)
def test_each_of_the_keys_opens(header: str) -> None:
    RING.check(header)


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
        RING.check(header)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"
    assert "POSTLUDE_API_KEYS" in refused.value.detail
    assert "first-key" not in refused.value.detail


@pytest.mark.parametrize("header", [None, "", "Bearer anything", "nonsense"])
def test_without_keys_everybody_may_call(header: str | None) -> None:
    KeyRing([]).check(header)


def test_a_key_ring_shows_no_key() -> None:
    assert "first-key" not in repr(vars(RING))
