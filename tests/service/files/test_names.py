"""What files may be called."""

import pytest

from service.files.names import LONGEST_NAME, clean_name


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\a.csv", "a.csv"),
        ("a\r\nSet-Cookie: b", "a__Set-Cookie_ b"),
        ("a\x85b\x9b.txt", "a_b_.txt"),
        ("\u202egnp.exe\u200f\u061c", "_gnp.exe__"),
        ("Gro\u0308\u00dfe.csv", "Gr\u00f6\u00dfe.csv"),
        ("\ud800", "_"),
        (" . .. ", "file"),
        ("", "file"),
        ("a" * 300 + ".csv", "a" * (LONGEST_NAME - 4) + ".csv"),
    ],
)
def test_name_is_safe_in_any_folder_header_and_page(given: str, cleaned: str) -> None:
    assert clean_name(given) == cleaned
