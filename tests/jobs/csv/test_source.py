"""What is found out about a file before its first record is read."""

from pathlib import Path

import pytest

from jobs.csv import ImportCsvArgs
from jobs.csv.lines import FileUnreadable
from jobs.csv.source import form_of


def test_a_line_that_is_too_long_is_told_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(b"id,name\n1,Ann\n2," + b"x" * 5_000_000)
    with pytest.raises(FileUnreadable, match="Line 3 is longer"):
        form_of(file, ImportCsvArgs(file="f", target="t"), None, "")
