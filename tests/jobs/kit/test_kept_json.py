import pytest

from jobs.kit.kept_json import JsonTooLarge, kept_json


def test_text_of_as_many_bytes_as_may_be_is_kept_and_one_more_is_refused() -> None:
    fits = '"' + "ä" * 499 + '"'
    assert kept_json(fits, 1_000) == fits
    with pytest.raises(JsonTooLarge, match="1001 bytes of JSON, but may have at most 1000"):
        kept_json('"' + "ä" * 499 + 'a"', 1_000)


@pytest.mark.parametrize("text", ["[NaN]", '{"x": -Infinity}', '"' + "x" * 600 + '" ]', "1" * 5_000])
def test_what_could_not_be_read_back_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not JSON|Extra data|Exceeds the limit"):
        kept_json(text, 100_000)


def test_a_text_that_only_speaks_of_infinity_is_kept() -> None:
    assert kept_json('"Infinity and NaN"', 100) == '"Infinity and NaN"'


def test_nul_which_no_database_takes_becomes_a_replacement_character() -> None:
    assert kept_json('"a\\u0000b"', 100) == '"a\\ufffdb"'
