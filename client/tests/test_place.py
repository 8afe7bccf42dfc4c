"""Where the service is, from arguments and from the environment."""

import pytest

from postlude import SettingsInvalid, requests
from postlude.place import Place


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_URL", "http://there:8000")
    monkeypatch.setenv("POSTLUDE_API_KEY", "key")
    assert Place.of(None, None) == Place("http://there:8000", "key")
    assert Place.of("https://here/", " other\n") == Place("https://here", "other")


def test_what_no_header_can_carry_is_no_key() -> None:
    with pytest.raises(SettingsInvalid, match="POSTLUDE_API_KEY"):
        Place.of("http://here", "two\nlines")


@pytest.mark.parametrize(
    ("url", "leaves"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://localhost:8000", False),
        ("https://localhost", True),
        ("http://postlude:8000", True),
        ("https://example.com", True),
    ],
)
def test_proxies_and_certificates_are_for_other_machines_and_tls(url: str, leaves: bool) -> None:
    options = Place(url, "key").options(requests.get("a"))
    assert (options["trust_env"], options["verify"]) == (leaves, leaves)
    assert options["headers"]["authorization"] == "Bearer key"
