import base64
import html
import json
from textwrap import wrap
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kit.masking import MASK, SHORTEST_MASKED, Masks, credentials_of

SECRET = "pä+ss/w0rd?&<\"x'\\ €😀 end"

WRITTEN = {
    "as it is": SECRET,
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON in Unicode": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON as PHP writes it": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON in capitals": json.dumps(SECRET)[1:-1].replace("\\u00e4", "\\u00E4"),
    "JSON in JSON": json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
    "percent": quote(SECRET),
    "percent, all of it": quote(SECRET, safe=""),
    "percent in small letters": "".join(f"%{byte:02x}" for byte in SECRET.encode()),
    "a form": quote_plus(SECRET),
    "percent twice": quote(quote(SECRET)),
    "HTML": html.escape(SECRET),
    "HTML in numbers": "".join(f"&#{ord(letter)};" for letter in SECRET),
    "HTML in hex": "".join(f"&#x{ord(letter):X};" for letter in SECRET),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 without padding": base64.b64encode(SECRET.encode()).decode().rstrip("="),
    "base64 for URLs": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
    "base64 in percent": quote(base64.b64encode(SECRET.encode()).decode(), safe=""),
    "base64 in lines": "\r\n".join(wrap(base64.b64encode(SECRET.encode()).decode(), 16)),
    "base64 in lines, in JSON": "\\n".join(wrap(base64.b64encode(SECRET.encode()).decode(), 16)),
    "taken for Latin-1": SECRET.encode().decode("latin-1"),
    "taken for Latin-1, in JSON": json.dumps(SECRET.encode().decode("latin-1"))[1:-1],
    "taken for Latin-1, in percent": quote(SECRET.encode().decode("latin-1"), safe=""),
    "written in Latin-1": SECRET.encode("latin-1", "replace").decode(errors="replace"),
    "written in Latin-1, in percent": quote(SECRET.encode("latin-1", "replace"), safe=""),
    "hex": SECRET.encode().hex(),
    "hex in capitals": SECRET.encode().hex().upper(),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_secret_is_masked_however_it_is_written_and_nothing_else(written: str) -> None:
    masked = Masks([SECRET])(f"before {written} between {written} after")
    assert masked.replace("=", "") == f"before {MASK} between {MASK} after"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_secret_inside_base64_is_masked_at_each_offset(before: str) -> None:
    secret = "0123456789abcdef"
    text = base64.b64encode(f"{before}{secret}!".encode()).decode()
    masked = Masks([secret])(text)
    assert MASK in masked
    assert len(masked.replace(MASK, "")) <= len(before) * 2 + 6


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_beginning_of_a_secret_where_the_text_was_cut_is_masked(written: str, share: float) -> None:
    masked = Masks([SECRET])("before " + written[: int(len(written) * share)], is_cut=True)
    assert masked.startswith(f"before {MASK}")
    assert len(masked) < len(f"before {MASK}") + 10  # what is left of an escape that was cut


def test_text_that_was_not_cut_keeps_its_end() -> None:
    assert Masks(["password-1"])("my pass") == "my pass"


def test_short_values_are_words_of_their_own() -> None:
    assert Masks(["1", "a" * (SHORTEST_MASKED - 1)])("1 aaaaaaa") == "1 aaaaaaa"
    assert Masks(["a" * SHORTEST_MASKED])("aaaaaaaa") == MASK


def test_overlapping_secrets_leave_nothing_between_them() -> None:
    assert Masks(["abcdefgh", "efghijkl", "Bearer abcdefgh"])("x Bearer abcdefghijkl y") == f"x {MASK} y"


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer abcdefgh", "abcdefgh"),
        ("Basic " + base64.b64encode(b"ann:open-sesame").decode(), "open-sesame"),
        ("Basic " + base64.b64encode(b"ann:open-sesame").decode().rstrip("="), "ann:open-sesame"),
        ("session=abcdefgh; theme=dark", "abcdefgh"),
        ('Signature keyId="me",signature="abcdefgh"', "abcdefgh"),
        ("abcdefgh", "abcdefgh"),
    ],
)
def test_what_is_secret_in_a_header(header: str, secret: str) -> None:
    assert Masks(credentials_of(header))(f"no {secret}!") == f"no {MASK}!"


@given(st.text(max_size=60), st.lists(st.text(min_size=8, max_size=20), max_size=3), st.booleans())
def test_no_text_holds_a_secret_afterwards(text: str, secrets: list[str], is_cut: bool) -> None:
    masked = Masks(secrets)(text + "".join(secrets), is_cut=is_cut)
    assert not any(secret in masked for secret in secrets if secret not in MASK * 4 and "?" not in secret)


def test_large_text_full_of_escapes_and_beginnings_costs_little() -> None:
    masks = Masks(["ab" * 2000, "abab" * 900 + "c"])
    assert MASK in masks("ab" * 4000, is_cut=True)
    assert masks("%61%2561" * 1000).startswith("%61")
