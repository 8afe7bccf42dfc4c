"""What is found out about a file before its first record is read."""

import json
from pathlib import Path

import pytest

from jobs.csv import ImportCsvArgs
from jobs.csv.columns import Column, ColumnsDoNotFit
from jobs.csv.lines import FileUnreadable
from jobs.csv.source import Form, form_of, opened


def test_a_line_that_is_too_long_is_told_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"id,name\n1,Ann\n2," + b"x" * 5_000_000)
    with pytest.raises(FileUnreadable, match="Line 3 is longer"):
        form_of(file, ImportCsvArgs(file="f", target="t"), None, "")


def test_numbers_in_the_mapping_are_no_names_in_a_header(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"1,Ann\n2,Bob\n")
    args = ImportCsvArgs(file="f", target="t", mapping={"#1": "id", "#2": "name"})
    assert not form_of(file, args, [Column("id"), Column("name"), Column("age")], "").layout.has_header


def test_a_name_without_letters_is_no_other_name_without_letters(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"%,name\n1,Ann\n")
    args = ImportCsvArgs(file="f", target="t", mapping={"€": "age"})
    form = form_of(file, args, None, "")
    with pytest.raises(ColumnsDoNotFit, match="mapping names the column '€'"), opened(file, form, args, None):
        pass


def test_utf_16_needs_a_mark_or_the_order_of_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes("id,name\n".encode("utf-16-le"))
    with pytest.raises(FileUnreadable, match="utf-16-le or utf-16-be"):
        form_of(file, ImportCsvArgs(file="f", target="t", encoding="utf-16"), None, "")


def test_a_header_may_be_as_long_as_a_field_and_a_longer_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    args = ImportCsvArgs(file="f", target="t", mapping={"#1": None})
    for length in (900_000, 1_100_000):
        file.write_bytes(b"n" * length + b",name\n1,Ann\n")
        form = form_of(file, args, None, "")
        if length < 1_000_000:
            with opened(file, form, args, None) as source:
                assert source.headers[1] == "name"
            continue
        with pytest.raises(FileUnreadable, match="Line 1 has a field of more than"), opened(file, form, args, None):
            pass


def test_names_in_a_header_can_be_stored_whatever_their_bytes(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"id,na\xffme,x\0\n1,Ann,2\n")
    args = ImportCsvArgs(file="f", target="t", encoding="utf-8")
    form = form_of(file, args, None, "")
    with opened(file, form, args, None) as source:
        assert source.headers == ["id", "na\ufffdme", "x\ufffd"]
        assert [match.column.name for match in source.plan.matches] == ["id", "na\ufffdme", "x\ufffd"]


def test_a_form_is_read_as_it_was_recorded_also_by_a_version_that_did_not_note_guesses(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"id,name\n1,Zo\xeb\n")
    form = form_of(file, ImportCsvArgs(file="f", target="t"), None, "")
    assert Form.read(form.written()) == form
    recorded = json.loads(form.written())
    assert recorded.pop("is_encoding_guessed") is True
    assert Form.read(json.dumps(recorded)).is_encoding_guessed is None
