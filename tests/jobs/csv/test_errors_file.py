"""The file of bad rows does nothing in a spreadsheet."""

from collections.abc import AsyncIterator

import pytest

from jobs.csv.errors_file import harmless, written
from jobs.csv.records import BadRow


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1"])
def test_a_cell_that_looks_like_a_formula_is_text(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"


async def test_a_bad_row_stands_with_its_line_and_reason() -> None:
    async def rows() -> AsyncIterator[BadRow]:
        yield BadRow(7, "is odd", ["=cmd()", 'a "b"', "\udcff"])

    content = b"".join([chunk async for chunk in written(rows())])
    assert content == b'\xef\xbb\xbfline,reason,row\r\n7,is odd,\'=cmd(),"a ""b""",?\r\n'
