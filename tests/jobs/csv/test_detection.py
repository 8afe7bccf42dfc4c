"""Encoding, delimiter and header are found out."""

import io

import pytest

from jobs.csv.encoding import encoding_of
from jobs.csv.layout import DELIMITERS, layout_of

_CYRILLIC = "имя;город\nИван;Москва\nПётр;Санкт-Петербург\n" * 5  # noqa: RUF001
_POLISH = "imię;miasto\nŁukasz;Łódź\nŚwiętosław;Gdańsk\nZażółć;gęślą jaźń\n" * 5
_JAPANESE = "名前,都市\n山田太郎,東京\n鈴木花子,大阪\n" * 5


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("a,b\nx,y\n", "ascii"),
        ("naïve,Ω\n", "utf-8"),
        ("naïve,Ω\n", "utf-8-sig"),
        ("a,b\né,ü\n", "utf-16"),
        ("name,city\nMüller,Köln\n", "utf-16-le"),
        ("name,city\nMüller,Köln\n", "utf-16-be"),
        (_CYRILLIC, "utf-16-le"),
        (_CYRILLIC, "utf-16-be"),
        (_JAPANESE, "utf-16-be"),
        ("a,b\n1,\0\n", "utf-8"),
        ("a,b\n1,2\n", "utf-32"),
        ("Name;Straße\nMüller;Größe €5 … „ja“\n", "cp1252"),
        ("nom,ville\nBéatrice,Orléans\nZoë,Besançon\n", "cp1252"),
        ("name;age\nÄÖÜ;3\n", "cp1252"),
        ("namn;stad\nÅsa;Malmö\nBjörn;Göteborg\nTest;åäöÅÄÖ\n", "cp1252"),
        ("navn,by\nÆøå,Århus\nSøren,København\n", "cp1252"),
        ("nafn\nÞórður\nGuðrún\nÆvar\nSæþór\nÁrný\n", "cp1252"),
        ("x\n" * 200_000 + "é\n", "cp1252"),
        (_CYRILLIC, "cp1251"),
        (_POLISH, "cp1250"),
        (_JAPANESE, "shift_jis"),
    ],
)
def test_a_text_is_read_in_the_encoding_it_was_written_in(text: str, encoding: str) -> None:
    content = text.encode(encoding)
    assert content.decode(encoding_of(io.BytesIO(content)).name).removeprefix("\ufeff") == text


def test_a_few_broken_bytes_make_no_other_encoding_of_utf_8() -> None:
    assert encoding_of(io.BytesIO("Grüße aus Köln\n".encode() * 100 + b"\xff\n")) == ("utf-8", True)


@pytest.mark.parametrize(
    ("content", "is_guessed"),
    [
        (b"a,b\n", False),
        ("é\n".encode(), False),
        ("é\n".encode("utf-16"), False),
        (b"\xe9\n", True),
        (b"a\0\n\0", True),
    ],
)
def test_an_encoding_is_guessed_unless_it_is_marked_or_all_of_the_file_is_utf_8(
    content: bytes, is_guessed: bool
) -> None:
    assert encoding_of(io.BytesIO(content)).is_guessed == is_guessed


@pytest.mark.parametrize(
    ("text", "delimiter", "has_header"),
    [
        ("a,b\n1,2\n", ",", True),
        ("a;b\n1,5;2\n", ";", True),
        ("1,5;2,5;3,5\n4,5;5,5;6,5\n", ";", False),
        ("a\tb\n1,2\t3\n", "\t", True),
        ("a|b|c\n1|2|3\n", "|", True),
        ("sep=;\na;b\n1;2\n", ";", True),
        ("name\nAnn\nBob\n", ",", True),
        ("text\nhello, world\nfoo, bar\n", "\t", True),
        ("id;text\n1;a, b, c\n2;d\n", ";", True),
        ('"a;b";"c"\n"1;2";"3"\n', ";", True),
        ("1,2,3\n4,5,6\n", ",", False),
        ("2020-01-01 10:00,5\n2020-01-02 11:00,6\n", ",", False),
        ("Ann,ann@example.com\n", ",", False),
    ],
)
def test_the_layout_is_told_by_the_first_lines(text: str, delimiter: str, has_header: bool) -> None:
    layout = layout_of(text.splitlines(keepends=True), "utf-8", None, None, None)
    assert layout.has_header == has_header
    if delimiter in text:
        assert layout.delimiter == delimiter
    else:
        assert layout.delimiter not in text, "a text with commas in it is one column"


@pytest.mark.parametrize("first", ['sep="\n', "sep=\r\n"])
def test_quotes_and_line_ends_separate_nothing(first: str) -> None:
    assert layout_of([first, "a,b\n", "1,2\n"], "utf-8", None, None, None).delimiter in DELIMITERS


def test_the_names_of_the_target_tell_the_delimiter_and_the_header() -> None:
    lines = ["e_mail|2020\n", "a;b,c|1\n"]
    layout = layout_of(lines, "utf-8", None, None, frozenset({"e_mail"}))
    assert (layout.delimiter, layout.has_header) == ("|", True)


def test_blanks_before_quotes_belong_to_no_field() -> None:
    assert layout_of(['a, "b, c"\n'], "utf-8", ",", None, None).skips_space


def test_blanks_stay_where_quotes_come_after_them_only_within_a_text() -> None:
    assert not layout_of(['a,"he said, ""hi"""\n', "b,  c\n"], "utf-8", ",", None, None).skips_space
