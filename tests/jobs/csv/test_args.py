"""What no file can be read with is refused before there is a job."""

import pytest
from pydantic import ValidationError

from jobs.csv import ImportCsvArgs


@pytest.mark.parametrize("encoding", ["utf-16-of-mine", "base64", "idna", "utf-7", "nothing", "a\0"])
def test_what_is_no_encoding_of_files_is_refused(encoding: str) -> None:
    with pytest.raises(ValidationError, match="not a text encoding"):
        ImportCsvArgs(file="f", target="t", encoding=encoding)


@pytest.mark.parametrize("encoding", ["UTF-8", "utf_16", "utf-32-be", "cp1252", "shift_jis", "cp037"])
def test_encodings_of_one_two_and_four_bytes_are_taken(encoding: str) -> None:
    ImportCsvArgs(file="f", target="t", encoding=encoding)


@pytest.mark.parametrize(("format_", "words"), [("%Y%Y", "more than once"), ("%Q", "strptime"), ("%", "strptime")])
def test_a_format_that_no_time_has_is_refused(format_: str, words: str) -> None:
    types = {"born": {"type": "date", "format": format_}}
    with pytest.raises(ValidationError, match=words):
        ImportCsvArgs.model_validate({"file": "f", "target": "t", "types": types})
