import json
from typing import Any

import pytest

from service.ledger.reads.matching import TextIn, path_is, path_reads

ARGS = {
    "user": {"id": 42, "name": "Zoë", "zip": "01234", "admin": True, "boss": None, "ratio": 0.5},
    "items": ["a", {"sku": "b", "n": 1}, [7, "8"]],
    "app.version": "1.2",
    "a": {"b.c": {"d": 1}, "b": {"c.d": 2}},
    "0": "zero",
    "": "unnamed",
    "big": 2**70,
    "quote": 'say "hi"\n',
}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("user.id", "42"),
        ("user.id", "42.0"),
        ("user.id", "4.2e1"),
        ("user.name", "Zoë"),
        ("user.name", '"Zoë"'),
        ("user.zip", "01234"),
        ("user.zip", '"01234"'),
        ("user.admin", "true"),
        ("user.boss", "null"),
        ("user.ratio", "0.5"),
        ("items.0", "a"),
        ("items.1.sku", "b"),
        ("items.1.n", "1"),
        ("items.2.0", "7"),
        ("items.2.1", "8"),
        ("app.version", "1.2"),
        ("a.b.c.d", "1"),
        ("a.b.c.d", "2"),
        ("0", "zero"),
        ("big", str(2**70)),
        ("quote", 'say "hi"\n'),
    ],
)
def test_a_value_is_found_as_somebody_would_write_it(path: str, text: str) -> None:
    assert path_reads(path, text).fits(json.dumps(ARGS))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("user.id", "43"),
        ("user.id", '"42"'),
        ("user.id", "true"),
        ("user.zip", "1234"),
        ("items.1.n", "true"),
        ("user.admin", "1"),
        ("user.admin", '"true"'),
        ("user.admin", "True"),
        ("user.boss", "0"),
        ("user.boss", ""),
        ("user.boss", "false"),
        ("user.none", "null"),
        ("user", "{}"),
        ("user", '{"id": 42}'),
        ("items", "a"),
        ("items.9", "a"),
        ("items.-1", "a"),
        ("items.00000000000000000000", "a"),
        ("items.²", "a"),
        ("items.1.sku.b", "b"),
        ("user.name.0", "Z"),
        ("big", str(2**70 + 1)),
        ("user.id", "9" * 1_000),
        ("user.id", "[" * 1_000),
        ("user.id", "1e999"),
        ("user.id", "NaN"),
        ("user.id' OR '1'='1", "42"),
        ("$.user.id", "42"),
        ("user.name", "zoë"),
    ],
)
def test_what_only_looks_like_it_is_not(path: str, text: str) -> None:
    assert not path_reads(path, text).fits(json.dumps(ARGS))


@pytest.mark.parametrize(
    ("value", "same", "others"),
    [
        (42, [42, 42.0], ["42", True, None]),
        ("42", ["42"], [42]),
        (True, [True], [1, "true", False]),
        (0, [0, 0.0, -0.0], [False, None, ""]),
        (None, [None], [0, "", False, "null"]),
    ],
)
def test_a_value_with_a_type_is_of_that_type(value: Any, same: list[Any], others: list[Any]) -> None:
    assert all(path_is("x", value).fits(json.dumps({"x": one})) for one in same)
    assert not any(path_is("x", value).fits(json.dumps({"x": one})) for one in others)


@pytest.mark.parametrize("stored", [None, "[]", "1", '"x"', "null", '{"y": NaN}', '{"x": -Infinity}'])
def test_other_json_is_no_match_and_no_error(stored: str | None) -> None:
    assert not path_reads("x", "1").fits(stored)


@pytest.mark.parametrize("text", ["ZOË", "zoë", 'say "hi"', 'SAY "HI"\n', "app.version", "straße"])
def test_text_is_found_whatever_its_case_and_however_json_writes_it(text: str) -> None:
    stored = json.dumps(ARGS | {"street": "STRASSE"}, ensure_ascii=False)
    assert TextIn(text).is_in([None, "", stored])


@pytest.mark.parametrize("text", ["zoe", "%", "_", ".*", "say 'hi'"])
def test_text_has_no_patterns(text: str) -> None:
    assert not TextIn(text).is_in(['{"name":"Zoë"}', None])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", 1),
        ("a..b", 1),
        ("a" * 256, 1),
        (".".join("abcdefghijk"), 1),
        ("a", "x" * 1001),
        ("a", float("nan")),
        ("a", float("inf")),
    ],
)
def test_what_no_filter_can_have_is_refused(path: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"path|value"):
        path_is(path, value)
    if isinstance(value, int | str):
        with pytest.raises(ValueError, match=r"path|value"):
            path_reads(path, str(value))
